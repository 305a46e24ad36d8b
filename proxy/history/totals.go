package history

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// Lineage is what is remembered of a lineage on a platform, so that nobody walks the store for totals.
type Lineage struct {
	// Versions are the digests of the served images, newest first.
	Versions []digest.Digest `json:"versions"`
	// Updates are what the versions cost clients that had the one before, newest first; the first version is no update.
	Updates []Update `json:"updates"`
	// Layers are their layers, each once.
	Layers Layers `json:"layers"`
	// Newest are the bytes of the newest version.
	Newest int64 `json:"newest,omitempty"`
}

// Update is what an update to a version costs each client.
type Update struct {
	At time.Time `json:"at"`
	// Bytes are those of the new layers, Saved what the source image's would have cost beyond that; it may be negative.
	Bytes int64 `json:"bytes"`
	Saved int64 `json:"saved"`
}

// Layers are layers with their sizes. As text they are the base64 of 16 bytes for each: of its digest and of its size.
type Layers []layer

// layerBytes is how long a layer is as text, before the base64.
const layerBytes = 16

var errLayers = errors.New("no list of layers")

// MarshalText implements encoding.TextMarshaler.
func (l Layers) MarshalText() ([]byte, error) {
	b := make([]byte, 0, layerBytes*len(l))
	for _, one := range l {
		b = binary.BigEndian.AppendUint64(b, one.digest)
		b = binary.BigEndian.AppendUint64(b, uint64(one.size))
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Layers) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(b)%layerBytes != 0 {
		return errLayers
	}
	*l = make(Layers, 0, len(b)/layerBytes)
	for ; len(b) > 0; b = b[layerBytes:] {
		*l = append(*l, layer{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return nil
}

// layer is a layer's size; a hash of its digest tells it from others well enough for a total.
type layer struct {
	digest uint64
	size   int64
}

// LineageOf returns what is to be remembered of versions.
func LineageOf(versions []rechunk.Version) Lineage {
	var out Lineage
	seen := map[uint64]bool{}
	for i, v := range versions {
		out.Versions = append(out.Versions, v.Digest)
		if v.Sequence > 1 {
			out.Updates = append(out.Updates, Update{v.Created, v.NewBytes, v.SourceNewBytes - v.NewBytes})
		}
		for _, l := range v.Layers {
			if i == 0 {
				out.Newest += l.Size
			}
			if d := shortened(l.Digest); !seen[d] {
				seen[d] = true
				out.Layers = append(out.Layers, layer{d, l.Size})
			}
		}
	}
	out.Layers = slices.Clip(out.Layers)
	return out
}

func shortened(d digest.Digest) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d)) // which never fails
	return h.Sum64()
}

// Sum returns what the updates of lineages cost and saved in all; what they did not save is nothing.
func Sum(lineages ...Lineage) (bytes, saved int64) {
	for _, l := range lineages {
		for _, u := range l.Updates {
			bytes, saved = bytes+u.Bytes, saved+u.Saved
		}
	}
	return bytes, max(saved, 0)
}

// Lineages are the summaries of all lineages.
type Lineages []catalog.Summary[catalog.LineageKey, Lineage]

// totals remember all lineages and what their layers add up to.
type totals struct {
	summaries *catalog.Summaries[catalog.LineageKey, rechunk.Lineage, Lineage]

	mu    sync.Mutex
	of    Lineages // that bytes is of
	bytes int64
}

func newTotals(lineages *catalog.Table[catalog.LineageKey, rechunk.Lineage]) *totals {
	of := func(_ catalog.LineageKey, l *rechunk.Lineage) Lineage { return LineageOf(l.Versions) }
	out := &totals{summaries: catalog.NewSummaries(lineages, time.Now, of)}
	out.summaries.Shelve("lineage 2")
	return out
}

// Keep has the next process begin with what is remembered of all lineages.
func (h *History) Keep(ctx context.Context) error { return h.totals.summaries.Keep(ctx) }

// Lineages returns what is remembered of all lineages, in the order of their keys, and the bytes of their layers, each layer
// counted once. Only what changed is read.
func (h *History) Lineages(ctx context.Context) (Lineages, int64, error) {
	all, err := h.totals.summaries.All(ctx)
	if err != nil {
		return nil, 0, err
	}
	return all, h.totals.sumLayers(all), nil
}

// sumLayers adds up the layers of lineages, which are those of the last time while nothing changed.
func (t *totals) sumLayers(all Lineages) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(all) == len(t.of) && (len(all) == 0 || &all[0] == &t.of[0]) {
		return t.bytes
	}
	sizes := map[uint64]int64{}
	for _, l := range all {
		for _, layer := range l.Of.Layers {
			sizes[layer.digest] = layer.size
		}
	}
	t.of, t.bytes = all, 0
	for _, n := range sizes {
		t.bytes += n
	}
	return t.bytes
}
