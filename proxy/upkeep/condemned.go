package upkeep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// Records of this package; docs/formats.md has their fields.
const (
	kindUpkeep   = "upkeep"
	keyCondemned = "condemned"
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

// readCondemned reads the list. One that is lost or damaged is empty: what was on it waits anew.
func (k *Keeper) readCondemned(ctx context.Context) (condemned, error) {
	b, err := k.Chunks.GetRecord(ctx, kindUpkeep, keyCondemned)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt), errors.Is(err, chunkstore.ErrTooLarge):
		return condemned{}, nil
	case err != nil:
		return nil, err
	}
	var rec condemnedRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		k.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", kindUpkeep, "key", keyCondemned, "error", err)
		return condemned{}, nil
	}
	out := condemned{}
	for _, batch := range rec.Batches {
		for _, d := range batch.Digests {
			out[d] = batch.Since
		}
	}
	return out, nil
}

// save replaces the stored list.
func (k *Keeper) saveCondemned(ctx context.Context, c condemned) error {
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
	return k.putJSON(ctx, keyCondemned, rec)
}

func (k *Keeper) putJSON(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return k.Chunks.PutRecord(ctx, kindUpkeep, key, b)
}
