package rechunk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/layer"
)

// Options are the rules of a repository that change what is made.
type Options struct {
	// Always rechunks images that are not labelled as bootable, too.
	Always bool
	// MaxLayers and MaxStale (0 to 1) bound the layout.
	MaxLayers int
	MaxStale  float64
	// LayerCost is what a layer costs a host in each update besides its bytes, in bytes (plan.Limits.LayerCost).
	LayerCost int64
	// Format is how new layers are written. Inspect needs none; everything else does.
	Format layer.Format
	// ExactTime keeps all modification times as the source has them (mtime: preserve).
	ExactTime bool
	// OwnLinks leaves identical files of bootable images apart where the source has them apart (hardlinks: preserve).
	OwnLinks bool
	// KeepNoise has files that differ in build noise only from those served before stay as they were served (noise: keep).
	KeepNoise bool
	// OSTree writes bootable images in ostree's form: layers of the objects of a commit.
	OSTree bool
	// Platforms are those that are rechunked ("linux/amd64"); none stands for all.
	Platforms []string
	// Versions is the number of images that a lineage remembers.
	Versions int
}

// Fingerprint is a short name of the options, for keys: options that differ in any field have different ones.
func (o Options) Fingerprint() string {
	decisive, others := o.values()
	return shortHash(slices.Concat(decisive, others))
}

// resultFingerprint is the fingerprint of the options that decide the bytes of the result. The keys of served records end in
// it.
func (o Options) resultFingerprint() string {
	decisive, _ := o.values()
	return shortHash(decisive)
}

// values lists every option as text: those that decide the bytes of the result, and the others, which decide whether there
// is one and how long it is remembered. A new option that decides the bytes comes last, and is left out while it has the
// value that stands for what was done before, so that records keep their keys.
func (o Options) values() (decisive, others []string) {
	encoder := ""
	if o.Format != nil {
		encoder = o.Format.Spec().Encoder.Unversioned()
	}
	decisive = []string{
		strconv.FormatBool(o.Always), strconv.Itoa(o.MaxLayers), strconv.FormatFloat(o.MaxStale, 'g', -1, 64), encoder,
		strconv.FormatBool(o.ExactTime), strconv.FormatBool(o.OwnLinks),
	}
	if o.KeepNoise {
		decisive = append(decisive, "noise=keep")
	}
	if o.OSTree {
		decisive = append(decisive, "form="+FormOSTree)
	}
	if o.LayerCost != 0 {
		decisive = append(decisive, "layer_cost="+strconv.FormatInt(o.LayerCost, 10))
	}
	return decisive, []string{fmt.Sprintf("%q", o.Platforms), strconv.Itoa(o.Versions)}
}

// shortHash is the first 8 bytes of the SHA-256 of values joined by spaces, in hexadecimal.
func shortHash(values []string) string {
	h := sha256.Sum256([]byte(strings.Join(values, " ")))
	return hex.EncodeToString(h[:8])
}
