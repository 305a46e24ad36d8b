package upkeep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore"
)

// readers is how many records are read at once.
const readers = 8

// readRecords reads all records that lead to content.
func (k *Keeper) readRecords(ctx context.Context, progress Progress) (*records, error) {
	r := newRecords()
	var mu sync.Mutex
	for _, kind := range recordKinds() {
		keys := map[string]time.Time{}
		err := k.Chunks.WalkRecords(ctx, kind.name, func(key string, modified time.Time) error {
			keys[key] = modified
			return nil
		})
		if err != nil {
			return nil, err
		}
		r.all[kind.name] = keys
		if kind.read == nil {
			continue
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(readers)
		for key, modified := range keys {
			g.Go(func() error { return k.readRecord(ctx, r, &mu, kind, key, modified) })
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		progress.tell("mark", int64(len(keys)), int64(len(keys)))
	}
	return r, nil
}

func (k *Keeper) readRecord(ctx context.Context, r *records, mu *sync.Mutex, kind recordKind, key string, modified time.Time) error {
	b, err := k.Chunks.GetRecord(ctx, kind.name, key)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil
	}
	damaged := errors.Is(err, chunkstore.ErrCorrupt) || errors.Is(err, chunkstore.ErrTooLarge)
	if err != nil && !damaged {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if err == nil {
		err = kind.read(r, key, b, modified)
	}
	if err == nil {
		return nil
	}
	k.Logger.WarnContext(ctx, "record is damaged", "kind", kind.name, "key", key, "error", err)
	if kind.vital {
		r.damaged = append(r.damaged, fmt.Sprintf("%s %s", kind.name, key))
	}
	return nil
}
