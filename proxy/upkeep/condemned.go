package upkeep

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// maxCondemned bounds the list, which is one record. What does not fit is condemned by a later run.
const maxCondemned = 100_000

// condemned is content that no record leads to, each with the time since when that is known.
type condemned map[digest.Digest]time.Time

// condemnedRecord is how the list is stored.
type condemnedRecord struct {
	Batches []condemnedBatch `json:"batches"`
}

type condemnedBatch struct {
	Since   time.Time       `json:"since"`
	Digests []digest.Digest `json:"digests"`
}

func (k *Keeper) condemnedNote() catalog.Note[condemnedRecord] {
	return catalog.Upkeep[condemnedRecord](k.records, "condemned")
}

// readCondemned reads the list. One that is lost or damaged is empty: what was on it waits anew.
func (k *Keeper) readCondemned(ctx context.Context) (condemned, error) {
	rec, err := k.condemnedNote().Get(ctx)
	out := condemned{}
	for _, batch := range rec.Batches {
		for _, d := range batch.Digests {
			out[d] = batch.Since
		}
	}
	return out, err
}

// saveCondemned replaces the stored list.
func (k *Keeper) saveCondemned(ctx context.Context, t turn, c condemned) error {
	oldest := slices.SortedFunc(maps.Keys(c), func(a, b digest.Digest) int {
		return cmp.Or(c[a].Compare(c[b]), cmp.Compare(a, b))
	})
	var rec condemnedRecord
	for _, d := range oldest[:min(len(oldest), maxCondemned)] {
		if n := len(rec.Batches); n == 0 || !rec.Batches[n-1].Since.Equal(c[d]) {
			rec.Batches = append(rec.Batches, condemnedBatch{Since: c[d]})
		}
		batch := &rec.Batches[len(rec.Batches)-1]
		batch.Digests = append(batch.Digests, d)
	}
	return note(ctx, t, k.condemnedNote(), rec)
}
