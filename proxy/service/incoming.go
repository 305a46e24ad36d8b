package service

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// incomingBlob is a blob that is still on its way. Where its reader is far ahead of the download, it gets parts of the blob by requests
// of their own, until the download has caught up.
type incomingBlob struct {
	*flight.Reader
	ctx  context.Context //nolint:containedctx // of the request that reads
	s    *Service
	repo name.Repository
	key  digest.Digest
	size int64

	off  int64
	part []byte // what comes next, where the download is not
	slow bool   // parts can't be had
	// through has the rest when there was no space for the download.
	through *throughBlob
}

var _ registry.Blob = (*incomingBlob)(nil)

// Read implements io.Reader.
func (b *incomingBlob) Read(p []byte) (int, error) {
	if len(b.part) == 0 && !b.slow && b.Lag(b.off) > farAhead {
		var err error
		if b.part, err = b.s.parts.get(b.ctx, b.s, b.repo, b.key, b.size, b.off); err != nil {
			b.slow = true // the download has its own way with what fails
		}
	}
	if len(b.part) > 0 {
		n := copy(p, b.part)
		b.part, b.off = b.part[n:], b.off+int64(n)
		return n, nil
	}
	n, err := b.download(p)
	b.off += int64(n)
	return n, err
}

// download reads from the download, or, since that has no space left, past it.
func (b *incomingBlob) download(p []byte) (int, error) {
	if b.through == nil {
		if _, err := b.Reader.Seek(b.off, io.SeekStart); err != nil {
			return 0, err
		}
		n, err := b.Reader.Read(p)
		if n > 0 || !errors.Is(err, flight.ErrNoSpace) {
			return n, err
		}
		if b.through, err = b.s.through(b.ctx, b.repo, b.key, b.size); err != nil {
			return 0, err
		}
	}
	if _, err := b.through.Seek(b.off, io.SeekStart); err != nil {
		return 0, err
	}
	return b.through.Read(p)
}

// Close implements io.Closer.
func (b *incomingBlob) Close() error {
	err := b.Reader.Close()
	if b.through != nil {
		err = errors.Join(err, b.through.Close())
	}
	return err
}

// Seek implements io.Seeker. It waits for nothing.
func (b *incomingBlob) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset, whence = offset+b.off, io.SeekStart
	}
	off, err := b.Reader.Seek(offset, whence)
	if err == nil && off != b.off {
		b.off, b.part = off, nil
	}
	return off, err
}

// Size implements registry.Blob.
func (b *incomingBlob) Size() int64 { return b.size }

// Origin implements registry.Blob.
func (b *incomingBlob) Origin() registry.Origin { return registry.FromUpstream }
