package oneshot

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// keeper is what the engine reads from and writes to.
type keeper interface {
	rechunk.Store
	rechunk.Records
}

// overlay reads from two places and writes to the first only.
type overlay struct{ upper, lower keeper }

var _ keeper = overlay{}

// Open implements rechunk.Store.
func (o overlay) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	rc, err := o.upper.Open(ctx, d)
	if errors.Is(err, rechunk.ErrNotFound) {
		return o.lower.Open(ctx, d)
	}
	return rc, err
}

// Has implements rechunk.Store.
func (o overlay) Has(ctx context.Context, d digest.Digest) (bool, error) {
	if has, err := o.upper.Has(ctx, d); has || err != nil {
		return has, err
	}
	return o.lower.Has(ctx, d)
}

// Create implements rechunk.Store.
func (o overlay) Create(ctx context.Context) (rechunk.BlobWriter, error) { return o.upper.Create(ctx) }

// GetRecord implements rechunk.Records.
func (o overlay) GetRecord(ctx context.Context, kind, key string) ([]byte, error) {
	b, err := o.upper.GetRecord(ctx, kind, key)
	if errors.Is(err, rechunk.ErrNotFound) {
		return o.lower.GetRecord(ctx, kind, key)
	}
	return b, err
}

// PutRecord implements rechunk.Records.
func (o overlay) PutRecord(ctx context.Context, kind, key string, b []byte) error {
	return o.upper.PutRecord(ctx, kind, key, b)
}
