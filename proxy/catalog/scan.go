package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/chunkstore"
)

// ErrUnknownKind says that a store has records of a kind that this build doesn't know, so that it can't know what they lead
// to.
var ErrUnknownKind = errors.New("unknown kind of record")

// Record is one of any kind.
type Record struct {
	Key string
	// Modified is when it was last written, by the backend's clock.
	Modified time.Time
	// Value is a pointer to what the kind's records are, nil where Err is not.
	Value any
	Leads Leads
	// Err says why the record can't be used: it wraps ErrDamaged or ErrNewer.
	Err error
}

// readers is how many records Scan reads at once.
const readers = 8

// Scan reads all records of a kind, several at once, and calls fn with one at a time, in no particular order. fn's error
// ends the scan and is returned.
func Scan(ctx context.Context, store *chunkstore.Store, of Kind, fn func(Record) error) error {
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	var one sync.Mutex
	err := store.WalkRecords(ctx, of.Name, func(key string, modified time.Time) error {
		if reading.Err() != nil {
			return context.Cause(reading)
		}
		g.Go(func() error {
			r, err := read(reading, store, of, key)
			if errors.Is(err, chunkstore.ErrNotFound) {
				return nil // deleted since it was listed
			}
			if err != nil {
				return err
			}
			r.Modified = modified
			one.Lock()
			defer one.Unlock()
			return fn(r)
		})
		return nil
	})
	if failed := g.Wait(); failed != nil {
		return failed // which ended the walk early, too
	}
	return err
}

func read(ctx context.Context, store *chunkstore.Store, of Kind, key string) (Record, error) {
	b, err := store.GetRecord(ctx, of.Name, key)
	if err == nil {
		r := Record{Key: key}
		r.Value, r.Leads, r.Err = of.Parse(key, b)
		return r, nil
	}
	if Damaged(err) {
		return Record{Key: key, Err: fmt.Errorf("%w: %w", ErrDamaged, err)}, nil
	}
	return Record{}, err
}

// CheckKinds returns an error that wraps ErrUnknownKind when a store has records of a kind that is not among Kinds.
func CheckKinds(ctx context.Context, store *chunkstore.Store) error {
	names, err := store.RecordKinds(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, k := range Kinds() {
		known[k.Name] = true
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		err := store.WalkRecords(ctx, name, func(string, time.Time) error {
			return fmt.Errorf("%w: the store has records of kind %q, which a newer version of strata wrote; use that one",
				ErrUnknownKind, name)
		})
		if err != nil {
			return err // a directory that is empty is what is left of a kind
		}
	}
	return nil
}
