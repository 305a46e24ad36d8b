// Package rechunktest has what tests of the engine and of its users need: a store in memory that can be made to fail, source
// images made of treetest's layers, and a validator that holds a served image's bytes against what bootc's backends demand.
// The validator reads layers with its own code, none of the engine's.
package rechunktest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// Op is an operation of a MemoryStore.
type Op string

// The operations, by the methods' names.
const (
	Open      Op = "Open"
	Has       Op = "Has"
	Create    Op = "Create"
	Write     Op = "Write"
	Commit    Op = "Commit"
	GetRecord Op = "GetRecord"
	PutRecord Op = "PutRecord"
)

// MemoryStore keeps blobs and records in maps. The zero value is empty and ready. It is safe for concurrent use; the hooks
// are set before the first use and must be so, too.
type MemoryStore struct {
	// Fault is asked before every operation, with the digest or "kind key" that it is about, if any. An error is what the
	// operation gives then.
	Fault func(op Op, name string) error
	// Damage may change what is stored, as disks do, and Lie what Open gives without noticing, which no store may; neither
	// must change its argument.
	Damage, Lie func(d digest.Digest, b []byte) []byte

	mu      sync.Mutex
	blobs   map[digest.Digest][]byte
	records map[record][]byte
	writers int
}

type record struct{ kind, key string }

var (
	_ rechunk.Store   = (*MemoryStore)(nil)
	_ rechunk.Records = (*MemoryStore)(nil)
)

func (s *MemoryStore) fault(ctx context.Context, op Op, name string) error {
	if s.Fault != nil {
		if err := s.Fault(op, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Open implements rechunk.Store.
func (s *MemoryStore) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if err := s.fault(ctx, Open, d.String()); err != nil {
		return nil, err
	}
	b, ok := s.Blob(d)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, rechunk.ErrNotFound)
	}
	if s.Damage != nil {
		b = s.Damage(d, b)
	}
	end := io.EOF
	if digest.FromBytes(b) != d {
		end = fmt.Errorf("blob %s is damaged: %w", d, rechunk.ErrNotFound)
	}
	if s.Lie != nil {
		b = s.Lie(d, b)
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(b), iotest.ErrReader(end))), nil
}

// Has implements rechunk.Store.
func (s *MemoryStore) Has(ctx context.Context, d digest.Digest) (bool, error) {
	if err := s.fault(ctx, Has, d.String()); err != nil {
		return false, err
	}
	_, ok := s.Blob(d)
	return ok, nil
}

// Create implements rechunk.Store.
func (s *MemoryStore) Create(ctx context.Context) (rechunk.BlobWriter, error) {
	if err := s.fault(ctx, Create, ""); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers++
	return &writer{s: s, fault: func(op Op, name string) error { return s.fault(ctx, op, name) }}, nil
}

// GetRecord implements rechunk.Records.
func (s *MemoryStore) GetRecord(ctx context.Context, kind, key string) ([]byte, error) {
	if err := s.fault(ctx, GetRecord, kind+" "+key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.records[record{kind, key}]
	if !ok {
		return nil, fmt.Errorf("%s record %q: %w", kind, key, rechunk.ErrNotFound)
	}
	return bytes.Clone(b), nil
}

// PutRecord implements rechunk.Records.
func (s *MemoryStore) PutRecord(ctx context.Context, kind, key string, b []byte) error {
	if err := s.fault(ctx, PutRecord, kind+" "+key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = map[record][]byte{}
	}
	s.records[record{kind, key}] = bytes.Clone(b)
	return nil
}

// Blob returns a blob, past the hooks. The bytes must not be changed.
func (s *MemoryStore) Blob(d digest.Digest) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	return b, ok
}

// PutBlob stores bytes under a digest, right or wrong.
func (s *MemoryStore) PutBlob(d digest.Digest, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		s.blobs = map[digest.Digest][]byte{}
	}
	s.blobs[d] = b
}

// DeleteBlob forgets a blob.
func (s *MemoryStore) DeleteBlob(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, d)
}

// DeleteRecords forgets all records of a kind.
func (s *MemoryStore) DeleteRecords(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.records, func(r record, _ []byte) bool { return r.kind == kind })
}

// Records lists the keys of a kind, ascending.
func (s *MemoryStore) Records(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for r := range s.records {
		if r.kind == kind {
			out = append(out, r.key)
		}
	}
	slices.Sort(out)
	return out
}

// OpenWriters is the number of writers that were neither committed nor cancelled.
func (s *MemoryStore) OpenWriters() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writers
}

type writer struct {
	s     *MemoryStore
	fault func(op Op, name string) error // under the context that it was made with
	buf   bytes.Buffer
	done  bool
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.fault(Write, ""); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

func (w *writer) Commit(ctx context.Context) (digest.Digest, error) {
	b := w.buf.Bytes()
	d := digest.FromBytes(b)
	if err := w.s.fault(ctx, Commit, d.String()); err != nil {
		return "", err
	}
	w.s.PutBlob(d, b)
	w.end()
	return d, nil
}

func (w *writer) Cancel(context.Context) error {
	w.end()
	return nil
}

func (w *writer) end() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if !w.done {
		w.done = true
		w.s.writers--
	}
}
