package image

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platformForm is that of a platform in words; they are Go's, which are in lower case.
var platformForm = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*){1,2}$`)

// longestPlatform bounds a platform in words, in bytes.
const longestPlatform = 100

// ParsePlatform reads "os/architecture" or "os/architecture/variant". Which there are nobody knows: it holds words to their
// form.
func ParsePlatform(s string) (ocispec.Platform, error) {
	if len(s) > longestPlatform || !platformForm.MatchString(s) {
		return ocispec.Platform{}, fmt.Errorf("%.40q is no platform: write OS/ARCH or OS/ARCH/VARIANT, "+
			"such as linux/arm64", s)
	}
	var p ocispec.Platform
	p.OS, s, _ = strings.Cut(s, "/")
	p.Architecture, p.Variant, _ = strings.Cut(s, "/")
	return p, nil
}

// AskedPlatform is ParsePlatform, with HostPlatform for an empty text.
func AskedPlatform(s string) (ocispec.Platform, error) {
	if s == "" {
		return HostPlatform(), nil
	}
	return ParsePlatform(s)
}

// HostPlatform is linux on this machine's architecture, which is meant where nobody says another.
func HostPlatform() ocispec.Platform {
	return ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
}

// PlatformString is "os/architecture" or "os/architecture/variant". The variant that an architecture has by default is left
// out: builders write "arm64" and "arm64/v8" for the same machines, and a lineage must not fall apart over it.
func PlatformString(p ocispec.Platform) string {
	parts := []string{p.OS, p.Architecture, p.Variant}
	switch p.Architecture + "/" + p.Variant {
	case "amd64/v1", "arm64/v8", "arm64/8", "arm/v7", "arm/7":
		parts = parts[:2]
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "/")
}

// MatchPlatform reports whether one of the patterns ("os/architecture" or "os/architecture/variant") names a platform; one
// without a variant names all of them. No patterns name every platform.
func MatchPlatform(patterns []string, p ocispec.Platform) bool {
	if len(patterns) == 0 {
		return true
	}
	full, anyVariant := PlatformString(p), p.OS+"/"+p.Architecture
	return slices.ContainsFunc(patterns, func(s string) bool {
		if s == anyVariant || s == full {
			return true
		}
		named, err := ParsePlatform(s)
		return err == nil && PlatformString(named) == full
	})
}
