package imageref

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

// platform is what an index tells its images apart by.
type platform struct{ os, arch, variant string }

// parsePlatform reads "os/arch" or "os/arch/variant". Empty means linux on this machine's architecture.
func parsePlatform(s string) (platform, error) {
	p, err := image.AskedPlatform(s)
	if err != nil {
		return platform{}, err
	}
	return platform{os: p.OS, arch: p.Architecture, variant: p.Variant}.normal(), nil
}

// normal drops the variants that are their architecture's baseline, as containerd's platforms package does.
func (p platform) normal() platform {
	if p.arch == "arm64" && p.variant == "v8" || p.arch == "amd64" && p.variant == "v1" {
		p.variant = ""
	}
	return p
}

func (p platform) String() string {
	if p.variant == "" {
		return p.os + "/" + p.arch
	}
	return p.os + "/" + p.arch + "/" + p.variant
}

// platformOf returns a descriptor's platform. Attestations, which buildkit lists as unknown/unknown, have none.
func platformOf(d ocispec.Descriptor) (platform, bool) {
	if d.Platform == nil || d.Platform.OS == "" || d.Platform.OS == "unknown" {
		return platform{}, false
	}
	return platform{os: d.Platform.OS, arch: d.Platform.Architecture, variant: d.Platform.Variant}.normal(), true
}

// match returns the first descriptor of exactly the wanted platform or, if no variant is wanted, of any variant of it.
func (p platform) match(descs []ocispec.Descriptor) (ocispec.Descriptor, bool) {
	for _, same := range []func(platform) bool{
		func(o platform) bool { return o == p },
		func(o platform) bool { return p.variant == "" && o.os == p.os && o.arch == p.arch },
	} {
		for _, d := range descs {
			if o, ok := platformOf(d); ok && same(o) {
				return d, true
			}
		}
	}
	return ocispec.Descriptor{}, false
}
