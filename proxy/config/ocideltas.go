package config

import "slices"

// OCIDeltas says which delta artifacts are made after a version was published, for hosts that take them
// (docs/delta-artifacts.md).
type OCIDeltas struct {
	// Back are the versions before the new one from which artifacts lead to it: 1 is the one before. None makes none.
	Back []int `yaml:"back"`
	// Images says between which images.
	Images DeltaImages `yaml:"images"`
	// Format is that of the layers.
	Format DeltaFormat `yaml:"format"`
}

// DeltaImages says between which images delta artifacts are made.
type DeltaImages string

// The choices for images.
const (
	DeltaServed   DeltaImages = "served"   // those that the proxy made
	DeltaUpstream DeltaImages = "upstream" // the upstream's own, whose digests and signatures stay
	DeltaBoth     DeltaImages = "both"
)

// UnmarshalText accepts the name of a choice.
func (d *DeltaImages) UnmarshalText(text []byte) error {
	return oneOf(d, text, DeltaServed, DeltaUpstream, DeltaBoth)
}

// DeltaFormat is the format of delta artifacts, as package imagedelta names them.
type DeltaFormat string

// The choices for format.
const (
	DeltaTarDiff1 DeltaFormat = "tar-diff-1" // what the most clients read
	DeltaTarDiff2 DeltaFormat = "tar-diff-2" // smaller for some files
	DeltaStrata   DeltaFormat = "strata"     // for strata delta --apply
)

// UnmarshalText accepts the name of a choice.
func (d *DeltaFormat) UnmarshalText(text []byte) error {
	return oneOf(d, text, DeltaTarDiff1, DeltaTarDiff2, DeltaStrata)
}

// mostBack bounds the artifacts of one version, and how far back they reach.
const mostBack = 8

func (v *validator) ociDeltas(key string, d OCIDeltas, r Rule) {
	if len(d.Back) > mostBack {
		v.problem(key+".back", "has %d entries, more than the limit of %d", len(d.Back), mostBack)
		return
	}
	for i, n := range d.Back {
		switch {
		case n < 1 || n >= max(r.KeepVersions, 2):
			v.problem(key+".back", "%d is not among the %d versions before the new one that keep_versions lets stay", n,
				max(r.KeepVersions, 2)-1)
		case slices.Contains(d.Back[:i], n):
			v.problem(key+".back", "%d is there twice: remove one", n)
		}
	}
	if len(d.Back) > 0 && r.Rechunk == RechunkNever {
		v.problem(key, "is set with rechunk: never: artifacts are made between versions that the proxy has made; "+
			"use strata delta for others")
	}
}
