package catalog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// DeltaKey names a delta: how to make a layer for who has the image of a seed manifest. It is written "seed layer variant".
type DeltaKey struct {
	Seed, Layer digest.Digest
	// Variant tells what it was made for: "worth-programs", a class of worth in bytes per second and 16 hex digits.
	Variant string
}

var deltaVariant = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})-[0-9a-f]{16}$`)

// String returns the key as it is stored.
func (k DeltaKey) String() string { return fmt.Sprintf("%s %s %s", k.Seed, k.Layer, k.Variant) }

func parseDeltaKey(s string) (k DeltaKey, ok bool) {
	seed, rest, _ := strings.Cut(s, " ")
	layer, variant, _ := strings.Cut(rest, " ")
	k = DeltaKey{digest.Digest(seed), digest.Digest(layer), variant}
	return k, k.Seed.Validate() == nil && k.Layer.Validate() == nil && deltaVariant.MatchString(variant)
}

// DeltasOf lists the deltas that make a layer for who has a seed.
func DeltasOf(seed, layer digest.Digest) Prefix[DeltaKey] {
	return Prefix[DeltaKey]{seed.String() + " " + layer.String() + " "}
}

// The words of Delta.Refused that say something of the delta itself: it would be hardly smaller than the layer, or take more
// than is allowed.
const (
	DeltaNoGain  = "gain"
	DeltaTooMuch = "size"
)

// Delta says where a delta is stored, or why there is none.
type Delta struct {
	// Digest and Size, in bytes, are those of the stored delta; Digest is empty where it was refused.
	Digest digest.Digest `json:"digest,omitempty"`
	Size   int64         `json:"size,omitempty"`
	// BlobSize is that of the layer's blob.
	BlobSize int64 `json:"blob_size,omitempty"`
	// Repository is where it was asked for first, for people.
	Repository string `json:"repository,omitempty"`
	// Worth is its class. Allowed are the programs that it might have needed, Needs those that it does, each "name/version".
	Worth   int64    `json:"worth,omitempty"`
	Allowed []string `json:"allowed,omitempty"`
	Needs   []string `json:"needs,omitempty"`
	// At is when it was made or refused, Seconds what that took; Cost is what encoders take to apply it, in seconds.
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds,omitempty"`
	Cost    float64   `json:"encoder_seconds,omitempty"`
	// Refused is why there is none, one word; Message says more. Until is when it may be tried again.
	Refused string    `json:"refused,omitempty"`
	Message string    `json:"message,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// A delta goes with the seed's manifest, and with the layer.
func deltaKind() kind[DeltaKey, Delta] {
	return kind[DeltaKey, Delta]{
		name: "delta", encode: DeltaKey.String, decode: parseDeltaKey,
		check: func(d *Delta) error {
			if (d.Digest == "") == (d.Refused == "") || d.Digest != "" && d.Digest.Validate() != nil || d.Size < 0 ||
				d.BlobSize < 0 {
				return errors.New("it is neither a delta nor a refusal")
			}
			return nil
		},
		leads: func(k DeltaKey, d *Delta) Leads {
			out := Leads{Owner: Owner{Manifest: k.Seed, With: k.Layer}}
			if d.Digest != "" {
				out.To = []Target{{Digest: d.Digest, Use: DeltaOf}}
			}
			return out
		},
	}
}

// DeltaDemand is what edges of a repository, "host/path", asked for deltas with.
type DeltaDemand struct {
	// Asked are the ways in which they did, the latest first, at most MaxDeltaAsked.
	Asked []DeltaAsked `json:"asked"`
}

// DeltaAsked is one way to ask for deltas.
type DeltaAsked struct {
	Worth    int64     `json:"worth,omitempty"` // a class
	Encoders []string  `json:"encoders,omitempty"`
	At       time.Time `json:"at"`
}

// MaxDeltaAsked bounds the ways to ask that are remembered of a repository.
const MaxDeltaAsked = 8

func deltaDemandKind() kind[string, DeltaDemand] {
	return kind[string, DeltaDemand]{
		name: KindDeltaDemand, encode: asItIs, decode: anyKey,
		check: func(d *DeltaDemand) error {
			if len(d.Asked) > MaxDeltaAsked {
				return errors.New("it remembers too much")
			}
			return nil
		},
	}
}

// Trials are what was found out about the wrapped files of a layer: which encoder makes them again.
type Trials struct {
	// Encoders were found, and Programs are the sets of those that there were, sorted, each "name/version".
	Encoders []TriedEncoder `json:"encoders,omitempty"`
	Programs [][]string     `json:"programs,omitempty"`
	// Tried has, by the SHA-256 of the wrapped bytes in hex, the positions of what is true of them in Encoders, -1 for none,
	// and in Programs.
	Tried map[string][2]int `json:"tried"`
}

// TriedEncoder is a program with the arguments that it was run with.
type TriedEncoder struct {
	Program string   `json:"program"`
	Version string   `json:"version"`
	Args    []string `json:"args,omitempty"`
}

// MaxTrials bounds what is remembered of a layer; the largest have some 10,000 wrapped files.
const MaxTrials = 32_768

func trialsKind() kind[digest.Digest, Trials] {
	return kind[digest.Digest, Trials]{
		name: "trials", encode: digest.Digest.String, decode: digestKey,
		check: func(t *Trials) error {
			if len(t.Tried) > MaxTrials {
				return errors.New("it remembers more files than layers have")
			}
			for wrapped, at := range t.Tried {
				b, err := hex.DecodeString(wrapped)
				if err != nil || len(b) != 32 || at[0] < -1 || at[0] >= len(t.Encoders) || at[1] < 0 ||
					at[1] >= len(t.Programs) {
					return errors.New("it is inconsistent")
				}
			}
			if slices.ContainsFunc(t.Encoders, func(e TriedEncoder) bool { return e.Program == "" }) {
				return errors.New("an encoder has no name")
			}
			return nil
		},
		leads: func(layer digest.Digest, _ *Trials) Leads { return Leads{Owner: Owner{Layer: layer}} },
	}
}
