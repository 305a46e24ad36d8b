// Package state lets the engine and the downloads use a chunkstore: it fits one's interfaces to the other's methods.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/rechunk"
)

// Store is a chunkstore as the engine sees it. It is safe for concurrent use.
type Store struct {
	chunks *chunkstore.Store
}

var (
	_ rechunk.Store   = (*Store)(nil)
	_ rechunk.Records = (*Store)(nil)
	_ flight.Sink     = (*Sink)(nil)
)

// New returns the engine's view of a chunkstore.
func New(chunks *chunkstore.Store) *Store { return &Store{chunks} }

// Open implements rechunk.Store.
func (s *Store) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	c, err := s.chunks.Open(ctx, d)
	if err != nil {
		return nil, translate(err)
	}
	return c, nil
}

// Has implements rechunk.Store.
func (s *Store) Has(ctx context.Context, d digest.Digest) (bool, error) {
	_, err := s.chunks.Stat(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Create implements rechunk.Store.
func (s *Store) Create(ctx context.Context) (rechunk.BlobWriter, error) {
	w, err := s.chunks.Create(ctx)
	if err != nil {
		return nil, err
	}
	return blobWriter{w}, nil
}

type blobWriter struct{ *chunkstore.Writer }

func (w blobWriter) Commit(ctx context.Context, d digest.Digest, size int64) error {
	_, err := w.Writer.Commit(ctx, chunkstore.Expected{Digest: d, Size: size})
	return err
}

// GetRecord implements rechunk.Records.
func (s *Store) GetRecord(ctx context.Context, kind, key string) ([]byte, error) {
	b, err := s.chunks.GetRecord(ctx, kind, key)
	return b, translate(err)
}

// PutRecord implements rechunk.Records.
func (s *Store) PutRecord(ctx context.Context, kind, key string, b []byte) error {
	return s.chunks.PutRecord(ctx, kind, key, b)
}

// translate gives the store's "not found" the engine's name.
func translate(err error) error {
	if errors.Is(err, chunkstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", rechunk.ErrNotFound, err)
	}
	return err
}

// Sink keeps complete downloads in a chunkstore.
type Sink struct {
	chunks *chunkstore.Store
}

// NewSink returns a sink into a chunkstore.
func NewSink(chunks *chunkstore.Store) *Sink { return &Sink{chunks} }

// Create implements flight.Sink.
func (s *Sink) Create(ctx context.Context, d digest.Digest) (flight.Writer, error) {
	w, err := s.chunks.Create(ctx)
	if err != nil {
		return nil, err
	}
	return sinkWriter{w, d}, nil
}

type sinkWriter struct {
	*chunkstore.Writer
	want digest.Digest
}

func (w sinkWriter) Commit(ctx context.Context) error {
	_, err := w.Writer.Commit(ctx, chunkstore.Expected{Digest: w.want, Size: chunkstore.AnySize})
	return err
}
