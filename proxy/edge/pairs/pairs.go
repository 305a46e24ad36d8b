// Package pairs tells of deltas one by one, as operators see them: of those that are made here for others, and of those that
// layers came as.
package pairs

import (
	"cmp"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Most bounds the pairs of a report.
const Most = 1000

// States of a Pair. Those that were made here are stored, refused, or on their way; those of layers that came are applied,
// or the layer came whole.
const (
	Stored  = "stored"
	Refused = "refused"
	Waiting = "waiting"
	Running = "running"
	Applied = "applied"
	Whole   = "whole"
)

// Pair is a delta of a layer for those who have the image of a seed.
type Pair struct {
	State      string `json:"state"`
	Repository string `json:"repository,omitempty"`
	Seed       string `json:"seed,omitempty"`
	// SeedVersion is what the seed's image calls itself; absent where it does not, or where nobody looked.
	SeedVersion string `json:"seed_version,omitempty"`
	Layer       string `json:"layer"`
	LayerBytes  int64  `json:"layer_bytes"`
	Bytes       int64  `json:"bytes,omitempty"`
	// Ratio is Bytes ÷ LayerBytes.
	Ratio float64 `json:"ratio,omitempty"`
	Worth int64   `json:"worth"`
	// Allowed are the programs that it might need, Needs those that it does.
	Allowed []string `json:"allowed,omitempty"`
	Needs   []string `json:"needs,omitempty"`
	// At is when it was made, refused, asked for, or came; Seconds what making it took, or making the layer of it,
	// EncoderSeconds what applying it takes.
	At             time.Time `json:"at"`
	Seconds        float64   `json:"seconds,omitempty"`
	EncoderSeconds float64   `json:"encoder_seconds,omitempty"`
	// Refused is the reason why there is none, or why the layer came whole; Message says more, Until is when it is tried
	// again.
	Refused string    `json:"refused,omitempty"`
	Message string    `json:"message,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// Gainless reports whether a delta of so many bytes is not worth it for a layer of so many: nine tenths of it, or more.
func Gainless(bytes, layer int64) bool { return bytes > layer/10*9 }

// Why is a reason for people.
func Why(reason string) string {
	if reason == catalog.DeltaNoGain {
		return "not worth it, and not kept"
	}
	return reason
}

// Outcome says for people what became of it. Who waits while a delta is made gets it as it comes, and only then it shows
// that it is not worth it: so one is not kept here that was applied elsewhere.
func (p *Pair) Outcome() string {
	switch {
	case p.Refused == catalog.DeltaNoGain:
		return Why(p.Refused)
	case p.Refused != "":
		return p.State + ": " + p.Refused
	case p.State == Applied && Gainless(p.Bytes, p.LayerBytes):
		return "applied, not worth it"
	}
	return p.State
}

// Measure sets the ratio of a delta whose bytes are known.
func (p *Pair) Measure() {
	if p.Bytes > 0 && p.LayerBytes > 0 {
		p.Ratio = float64(p.Bytes) / float64(p.LayerBytes)
	}
}

// Latest sorts pairs, the latest first, and cuts the list at Most.
func Latest(all []Pair) []Pair {
	slices.SortFunc(all, func(a, b Pair) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Seed, b.Seed))
	})
	return all[:min(len(all), Most)]
}

// Recent remembers what became of the latest pairs: of each the last. It is safe for concurrent use.
type Recent struct {
	seen *lru.Cache[key, Pair]
}

type key struct{ repository, seed, layer string }

// NewRecent returns one that remembers nothing yet.
func NewRecent() *Recent {
	seen, _ := lru.New[key, Pair](Most) // fails for sizes below 1 only
	return &Recent{seen}
}

// Note remembers a pair.
func (r *Recent) Note(p Pair) { r.seen.Add(key{p.Repository, p.Seed, p.Layer}, p) }

// List returns what is remembered, the latest first.
func (r *Recent) List() []Pair { return Latest(r.seen.Values()) }
