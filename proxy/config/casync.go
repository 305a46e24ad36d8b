package config

import (
	"slices"
	"strconv"

	"github.com/strata-oci/strata/chunkstore/casync"
)

// Casync says how images are served as chunks, for casync and desync.
type Casync struct {
	// Serve says that they are. What layers hold is stored once more then.
	Serve bool `yaml:"serve"`
	// ChunkSizes are those that clients may ask for, each "least:average:greatest" in KiB. They get the first when they do
	// not say.
	ChunkSizes []string `yaml:"chunk_sizes"`
	// Keep is how many bytes of chunks stay in the store. They count against the quota and go first.
	Keep ByteSize `yaml:"keep"`
	// Ahead says of which new versions chunks are made before clients ask for them.
	Ahead Ahead `yaml:"ahead"`
}

// Ahead says of which new versions chunks are made before clients ask for them.
type Ahead string

// The choices for ahead.
const (
	AheadAsked  Ahead = "asked"  // of repositories whose chunks clients ask for, in the sizes that they ask for
	AheadAlways Ahead = "always" // of all, in the size by default
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Ahead) UnmarshalText(text []byte) error { return oneOf(a, text, AheadAsked, AheadAlways) }

// mostChunkSizes bounds the sizes of chunks: an image is stored once for each.
const mostChunkSizes = 8

// mostChunk bounds a chunk, in bytes: it is held in memory while it is sent.
const mostChunk = 16 << 20

// Sizes returns the sizes that clients may ask for, of a configuration that was checked.
func (c Casync) Sizes() (out []casync.Sizes) {
	for _, text := range c.ChunkSizes {
		if s, err := casync.ParseSizes(text); err == nil {
			out = append(out, s)
		}
	}
	return out
}

func (v *validator) casync(c Casync) {
	if n := len(c.ChunkSizes); n < 1 || n > mostChunkSizes {
		v.problem("casync.chunk_sizes", "has %d entries: write 1 to %d, such as \"16:64:256\"", n, mostChunkSizes)
	}
	for i, text := range c.ChunkSizes {
		key := "casync.chunk_sizes[" + strconv.Itoa(i) + "]"
		s, err := casync.ParseSizes(text)
		switch {
		case err != nil:
			v.problem(key, "%v", err)
		case s.Max > mostChunk:
			v.problem(key, "%s has chunks of more than the limit of %s", quote(text), ByteSize(mostChunk))
		case slices.Contains(c.ChunkSizes[:i], text):
			v.problem(key, "%s is there twice: remove one", quote(text))
		}
	}
	if c.Keep < 1 {
		v.problem("casync.keep", "is %s: write how many bytes of chunks may stay, or serve: false to make none", c.Keep)
	}
}
