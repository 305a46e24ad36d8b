package config

import (
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/layer"
)

// Rule holds the settings of the repositories it matches.
type Rule struct {
	// Match is a pattern over "host/path". In an element of the path, * stands for any characters, ? for one and [a-z] for
	// one of a class; ** as an element stands for any number of elements, at the end for one or more. A bare host stands
	// for all of its repositories.
	Match string `yaml:"match"`
	// Rechunk says which images are rechunked.
	Rechunk Rechunk `yaml:"rechunk"`
	// Platforms are the platforms that are rechunked, "os/architecture[/variant]". Others are served as they are.
	Platforms []string `yaml:"platforms"`
	// MaxLayers is the number of layers that a served image may have, at least 1.
	MaxLayers int `yaml:"max_layers"`
	// MaxStale is the share of stale bytes that a served image may have.
	MaxStale Percent `yaml:"max_stale"`
	// LayerCost is what a layer costs a host in each update besides its bytes: as many bytes as the host could download in
	// the time that the import of the layer takes. 0: little more than a request.
	LayerCost ByteSize `yaml:"layer_cost"`
	// Format is how new layers are written.
	Format Format `yaml:"format"`
	// Compression is the old name of Format, from when there were two; empty unless it is set. Config.Rule has it in Format.
	Compression Compression `yaml:"compression"`
	// FirstPull says what a client gets while the first version of a tag is being made.
	FirstPull FirstPull `yaml:"first_pull"`
	// FirstPullTimeout is how long such a client waits before it gets the original.
	FirstPullTimeout Duration `yaml:"first_pull_timeout"`
	// Refresh is how long a tag is believed before its upstream is asked again. 0 asks on every pull.
	Refresh Duration `yaml:"refresh"`
	// Watch says which tags are looked at before clients ask.
	Watch Watch `yaml:"watch"`
	// MTime says what happens to the modification times of unchanged files.
	MTime MTime `yaml:"mtime"`
	// Hardlinks says what happens to identical files in /usr of bootable images.
	Hardlinks Hardlinks `yaml:"hardlinks"`
	// Noise says what happens to files that differ from those served before in build noise only.
	Noise Noise `yaml:"noise"`
	// KeepVersions is the length of the lineage, at least 1.
	KeepVersions int `yaml:"keep_versions"`
	// KeepDays is how long a version stays in the lineage, in days. 0 means as long as KeepVersions lets it.
	KeepDays int `yaml:"keep_days"`
	// Family names the lineage. Repositories with the same family share layers; the default is the repository itself.
	Family string `yaml:"family"`
	// Verify says whose signature images need; what has none is not served.
	Verify Verify `yaml:"verify"`
	// OCIDeltas says which delta artifacts are made of new versions.
	OCIDeltas OCIDeltas `yaml:"oci_deltas"`
	// Rollout says how a tag's new versions reach hosts; the zero value: all at once.
	Rollout Rollout `yaml:"rollout"`
	// Sign says which images get the proxy's own signature.
	Sign Sign `yaml:"sign"`
}

// Rechunk says which images are rechunked.
type Rechunk string

// The choices for rechunk.
const (
	RechunkAuto   Rechunk = "auto"   // those labelled containers.bootc or ostree.bootable
	RechunkAlways Rechunk = "always" // all
	RechunkNever  Rechunk = "never"  // none
)

// UnmarshalText accepts the name of a choice.
func (r *Rechunk) UnmarshalText(text []byte) error {
	return oneOf(r, text, RechunkAuto, RechunkAlways, RechunkNever)
}

// Format is how new layers are written: the name of one of layer.Formats, or FormatOSTree.
type Format string

// FormatOSTree writes bootable images in ostree's form, compressed as by layer.Zstd; others as layer.Zstd does.
const FormatOSTree Format = "ostree"

// Formats lists the names of all formats.
func Formats() []Format {
	var names []Format
	for _, known := range layer.Formats() {
		names = append(names, Format(known.Spec().Name))
	}
	return append(names, FormatOSTree)
}

// UnmarshalText accepts the name of a format.
func (f *Format) UnmarshalText(text []byte) error {
	return oneOf(f, text, Formats()...)
}

// Compression is a format that is no more than a compression.
type Compression string

// UnmarshalText accepts the name of a compression.
func (c *Compression) UnmarshalText(text []byte) error {
	return oneOf(c, text, Compression(layer.Zstd), Compression(layer.Gzip))
}

// FirstPull says what a client gets while the first version of a tag is being made.
type FirstPull string

// The choices for first_pull.
const (
	FirstPullWait     FirstPull = "wait"     // the served image, as soon as it is there
	FirstPullOriginal FirstPull = "original" // the source image, at once
)

// UnmarshalText accepts the name of a choice.
func (f *FirstPull) UnmarshalText(text []byte) error {
	return oneOf(f, text, FirstPullWait, FirstPullOriginal)
}

// MTime says what happens to the modification times of unchanged files.
type MTime string

// The choices for mtime.
const (
	MTimeKeep     MTime = "keep"     // the time that was served first stays, so a rebuild changes nothing
	MTimePreserve MTime = "preserve" // the source image's times are kept exactly
)

// UnmarshalText accepts the name of a choice.
func (m *MTime) UnmarshalText(text []byte) error { return oneOf(m, text, MTimeKeep, MTimePreserve) }

// Hardlinks says what happens to identical files of bootable images.
type Hardlinks string

// The choices for hardlinks.
const (
	HardlinksShare    Hardlinks = "share"    // large identical files in /usr become hardlinks, so that they are sent once
	HardlinksPreserve Hardlinks = "preserve" // only the source image's hardlinks
)

// UnmarshalText accepts the name of a choice.
func (h *Hardlinks) UnmarshalText(text []byte) error {
	return oneOf(h, text, HardlinksShare, HardlinksPreserve)
}

// Noise says what happens to files that differ from those served before in build noise only.
type Noise string

// The choices for noise.
const (
	NoiseServe Noise = "serve" // they are served as the source has them
	NoiseKeep  Noise = "keep"  // they stay as they were served first
)

// UnmarshalText accepts the name of a choice.
func (n *Noise) UnmarshalText(text []byte) error { return oneOf(n, text, NoiseServe, NoiseKeep) }

// Rule returns the settings of a repository, "host/path": those of the first rule that matches, else DefaultRule. Family is
// always set in it, and what comes from another Strata is not rechunked again. The result shares nothing with the
// configuration.
func (c *Config) Rule(repository string) Rule {
	rule := DefaultRule()
	for i := range c.Repositories {
		if matchName(c.Repositories[i].Match, repository) {
			rule = c.Repositories[i]
			rule.Platforms = slices.Clone(rule.Platforms)
			rule.Verify.Keys = slices.Clone(rule.Verify.Keys)
			rule.OCIDeltas.Back = slices.Clone(rule.OCIDeltas.Back)
			rule.Rollout.Steps = slices.Clone(rule.Rollout.Steps)
			rule.Rollout.First = slices.Clone(rule.Rollout.First)
			break
		}
	}
	if rule.Family == "" {
		rule.Family = repository
	}
	if rule.Compression != "" {
		rule.Format = Format(rule.Compression)
	}
	if host, _, _ := strings.Cut(repository, "/"); c.Via(host) {
		rule.Rechunk = RechunkNever
	}
	return rule
}

// wholePattern writes a bare host as the pattern for all of its repositories.
func wholePattern(pattern string) string {
	if strings.ContainsAny(pattern, `/*?[\`) {
		return pattern
	}
	return pattern + "/**"
}

// matchName reports whether a name matches a pattern. Its time is bounded by the product of the number of their elements:
// only the last ** that was passed is ever tried again.
func matchName(pattern, name string) bool {
	p, n := strings.Split(wholePattern(pattern), "/"), strings.Split(name, "/")
	pi, ni := 0, 0
	star, mark := -1, 0
	for ni < len(n) {
		switch {
		case pi < len(p) && p[pi] == "**":
			star, mark = pi, ni
			pi++
		case pi < len(p) && matchElement(p[pi], n[ni]):
			pi++
			ni++
		case star >= 0:
			mark++
			pi, ni = star+1, mark
		default:
			return false
		}
	}
	return pi == len(p)
}

func matchElement(pattern, element string) bool {
	ok, err := path.Match(pattern, element)
	return ok && err == nil // a malformed pattern is refused when the configuration is loaded
}

// checkPattern returns what is wrong with a pattern, and what to do, or "".
func checkPattern(pattern string) string {
	if pattern == "" {
		return `is empty: write a pattern such as ghcr.io/ublue-os/*, or "**" for every repository`
	}
	elements := strings.Split(wholePattern(pattern), "/")
	for _, element := range elements {
		switch _, err := path.Match(element, ""); {
		case element == "":
			return quote(pattern) + " has an empty element: remove the extra slash"
		case err != nil:
			return quote(pattern) + " is malformed: close the bracket, or put \\ before it"
		case element != "**" && strings.Contains(element, "**"):
			return quote(pattern) + " has ** as a part of an element: it stands for whole elements; write * inside one"
		}
	}
	first := elements[0]
	if !strings.ContainsAny(first, `*?[\`) && !isHost(first) {
		return quote(pattern) + " starts with no registry host, so it would match nothing: write ghcr.io/" + pattern
	}
	if len(elements) == 1 && first != "**" {
		return quote(pattern) + ` has no slash, so it would match nothing: write "**" for every repository`
	}
	return ""
}

// covers reports whether every name that pattern b matches is sure to be matched by a.
func covers(a, b string) bool {
	a, b = wholePattern(a), wholePattern(b)
	if a == b || a == "**" {
		return true
	}
	prefix, all := strings.CutSuffix(a, "**")
	return all && !strings.ContainsAny(prefix, `*?[\`) && strings.HasPrefix(b, prefix)
}
