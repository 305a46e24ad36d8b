// Package state lets the engine and the downloads use a chunkstore: it fits one's interfaces to the other's methods.
package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
)

// Store is a chunkstore as the engine sees it: what cannot be used counts as missing, because the engine can make all of it
// again. It is safe for concurrent use.
type Store struct {
	chunks *chunkstore.Store
	log    *slog.Logger
	damage Damage
}

// Damage counts content that was found damaged, by what became of it. It is safe for concurrent use.
type Damage interface{ Damaged(outcome string) }

// Needed says of damaged content that whoever needs it next fetches it or makes it again.
const Needed = "served"

var (
	_ rechunk.Store   = (*Store)(nil)
	_ rechunk.Records = (*Store)(nil)
)

// New returns the engine's view of a chunkstore. The logger hears of damage that was found, and damage counts it;
// nil discards either.
func New(chunks *chunkstore.Store, log *slog.Logger, damage Damage) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{chunks, log, damage}
}

// Open implements rechunk.Store. A read that reaches io.EOF has verified the digest; content that proves to be damaged is
// put into quarantine, so that it is fetched or made anew.
func (s *Store) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	c, err := s.chunks.Open(ctx, d)
	if err != nil {
		return nil, missing(err)
	}
	damaged := func(cause error) {
		_ = s.Quarantine(context.WithoutCancel(ctx), d, cause) // it is logged, and the reader's error says more
	}
	return &verified{Reader: verify.NewReader(c, d, c.Size()), damaged: damaged}, nil
}

// Quarantine puts content aside that is not what its digest says, so that it counts as missing and is fetched or made again:
// the store would take it for the real one for ever. cause is how the damage showed. That, and why it could not be done, is
// logged and counted here.
func (s *Store) Quarantine(ctx context.Context, d digest.Digest, cause error) error {
	return s.Replace(ctx, d, cause, func(context.Context) (string, error) { return Needed, nil })
}

// Replace is Quarantine for who brings the content back at once: bring says what became of it, and why it could not be had,
// which is no error of Replace.
func (s *Store) Replace(ctx context.Context, d digest.Digest, cause error,
	bring func(context.Context) (outcome string, err error)) error {
	if err := s.chunks.Quarantine(ctx, d); err != nil {
		s.log.ErrorContext(ctx, "stored content is damaged and could not be put into quarantine", "digest", d.String(),
			"damage", cause, "error", err)
		return err
	}
	outcome, err := bring(ctx)
	said := []any{"digest", d.String(), "damage", cause, "outcome", outcome}
	if err != nil {
		said = append(said, "error", err)
	}
	s.log.ErrorContext(ctx, "stored content is damaged and was put into quarantine", said...)
	if s.damage != nil {
		s.damage.Damaged(outcome)
	}
	return nil
}

// Has implements rechunk.Store.
func (s *Store) Has(ctx context.Context, d digest.Digest) (bool, error) {
	_, err := s.chunks.Stat(ctx, d)
	err = missing(err)
	if errors.Is(err, rechunk.ErrNotFound) {
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

// Commit implements rechunk.BlobWriter.
func (w blobWriter) Commit(ctx context.Context) (digest.Digest, error) {
	d, err := w.Writer.Commit(ctx, chunkstore.Expected{Size: chunkstore.AnySize})
	return d.Digest, err
}

// GetRecord implements rechunk.Records.
func (s *Store) GetRecord(ctx context.Context, kind, key string) ([]byte, error) {
	b, err := s.chunks.GetRecord(ctx, kind, key)
	if errors.Is(err, chunkstore.ErrCorrupt) || errors.Is(err, chunkstore.ErrTooLarge) {
		s.log.WarnContext(ctx, "record is damaged and taken as missing", "kind", kind, "key", key, "error", err)
		return nil, fmt.Errorf("%w: %w", rechunk.ErrNotFound, err)
	}
	return b, missing(err)
}

// PutRecord implements rechunk.Records.
func (s *Store) PutRecord(ctx context.Context, kind, key string, b []byte) error {
	return s.chunks.PutRecord(ctx, kind, key, b)
}

// missing gives the store's "not found" the engine's name. Nothing is stored under a digest that is none: damaged records
// hold such.
func missing(err error) error {
	if errors.Is(err, chunkstore.ErrNotFound) || errors.Is(err, chunkstore.ErrInvalid) {
		return fmt.Errorf("%w: %w", rechunk.ErrNotFound, err)
	}
	return err
}
