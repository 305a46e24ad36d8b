package image

import (
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

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
		return s == anyVariant || PlatformString(parsePlatform(s)) == full
	})
}

func parsePlatform(s string) ocispec.Platform {
	var p ocispec.Platform
	p.OS, s, _ = strings.Cut(s, "/")
	p.Architecture, p.Variant, _ = strings.Cut(s, "/")
	return p
}
