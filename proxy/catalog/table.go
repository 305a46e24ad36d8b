package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/chunkstore"
)

// source is where records lie.
type source struct {
	store *chunkstore.Store
	log   *slog.Logger
}

// Table holds the records of one kind: V are what they say, K is what they are found by. A record that is damaged, or was
// written in a newer schema, counts as missing and is logged: everything can be had or made again. It is safe for concurrent
// use.
type Table[K, V any] struct {
	source
	kind kind[K, V]
	seen *lru.Cache[string, parsed[V]] // nil for kinds that are not read on every request
}

// maxParsed bounds the parsed records that a table remembers, and with them the memory to some megabytes.
const maxParsed = 4096

// parsed is what a record says. It stands for exactly the bytes that were parsed, so that nobody has to tell of changes.
type parsed[V any] struct {
	bytes []byte
	value V
}

func newTable[K, V any](s source, of kind[K, V]) *Table[K, V] {
	return &Table[K, V]{source: s, kind: of}
}

// newHot returns a table that remembers what records say, so that one is not parsed on every request.
func newHot[K, V any](s source, of kind[K, V]) *Table[K, V] {
	t := newTable(s, of)
	t.seen, _ = lru.New[string, parsed[V]](maxParsed) // fails for sizes below 1 only
	return t
}

// Get returns a record as it is now, or nil when there is none. The value is the caller's; what it points at is not.
func (t *Table[K, V]) Get(ctx context.Context, key K) (*V, error) { return t.GetWithin(ctx, key, 0) }

// GetWithin is Get for those who may be answered from memory with what was read from the store so long ago at most.
func (t *Table[K, V]) GetWithin(ctx context.Context, key K, age time.Duration) (*V, error) {
	name := t.kind.encode(key)
	b, err := t.store.GetRecordWithin(ctx, t.kind.name, name, age)
	if err != nil {
		return nil, t.missing(ctx, name, err)
	}
	var rec parsed[V]
	known := false
	if t.seen != nil {
		rec, known = t.seen.Get(name)
	}
	if !known || !bytes.Equal(rec.bytes, b) {
		rec = parsed[V]{bytes: b}
		if err := t.kind.parse(b, &rec.value); err != nil {
			return nil, t.missing(ctx, name, err)
		}
		if t.seen != nil {
			t.seen.Add(name, rec)
		}
	}
	return &rec.value, nil
}

// missing says what a record that could not be read means: nil when it counts as missing.
func (t *Table[K, V]) missing(ctx context.Context, name string, err error) error {
	switch {
	case errors.Is(err, chunkstore.ErrNotFound):
		return nil
	case Damaged(err):
		t.log.WarnContext(ctx, "record is damaged and taken as missing", "kind", t.kind.name, "key", name, "error", err)
		return nil
	}
	return err
}

// Put stores a record in place of the one before.
func (t *Table[K, V]) Put(ctx context.Context, key K, v *V) error {
	name := t.kind.encode(key)
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the %s record %q: %w", t.kind.name, name, err)
	}
	return t.store.PutRecord(ctx, t.kind.name, name, b)
}

// Delete removes a record. To delete what is not there is no error.
func (t *Table[K, V]) Delete(ctx context.Context, key K) error {
	return t.store.DeleteRecord(ctx, t.kind.name, t.kind.encode(key))
}

// List calls fn with the key of each record that begins with prefix, as TagsOf and its like make them, and the time of its
// last change by the backend's clock, in ascending order. Other records are not looked at. fn may change records; its error
// ends the walk and is returned as it is.
func (t *Table[K, V]) List(ctx context.Context, prefix Prefix[K], fn func(key K, modified time.Time) error) error {
	return t.store.WalkRecordsPrefix(ctx, t.kind.name, prefix.text, func(name string, modified time.Time) error {
		key, ok := t.kind.decode(name)
		if !ok {
			return nil // nobody can ask for it
		}
		return fn(key, modified)
	})
}

// Each is List with the records; those that are missing by then, or damaged, are left out.
func (t *Table[K, V]) Each(ctx context.Context, prefix Prefix[K], fn func(key K, v *V) error) error {
	return t.List(ctx, prefix, func(key K, _ time.Time) error {
		v, err := t.Get(ctx, key)
		if v == nil || err != nil {
			return err
		}
		return fn(key, v)
	})
}
