package content

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/verify"
)

// errEnough says that a blob has been fetched by ranges for as much as that pays.
var errEnough = errors.New("as much of this blob was fetched by ranges as pays")

// parted opens a blob that is not stored, of which a client wants so many bytes, or returns nil when it had better be
// downloaded. It comes by ranges of the upstream, unverified and not kept, until they add up to half of it; then it is
// downloaded, since who asks for so much of it, or so often, is better off with all.
func (b *Blobs) parted(ctx context.Context, repo name.Repository, d digest.Digest, asked int64) (registry.Blob, error) {
	if b.arriving(repo, d) || b.Transient != nil && b.Transient(ctx, repo, d) {
		return nil, nil
	}
	size, err := b.ranges.size(blobKey{repo, d}, func() (int64, error) { return b.Stat(ctx, repo, d) })
	if err != nil {
		return nil, err
	}
	if !b.ranges.pay(blobKey{repo, d}, size, max(asked, rangeSize)) {
		return nil, nil
	}
	return &partedBlob{
		size: size,
		fetchRange: func(off int64) ([]byte, error) {
			if !b.ranges.pay(blobKey{repo, d}, size, 0) {
				return nil, errEnough
			}
			return b.ranges.get(ctx, repo, d, size, off)
		},
		open: func() (registry.Blob, error) { return b.Open(ctx, repo, d, 0) },
	}, nil
}

// arriving reports whether a blob is being downloaded.
func (b *Blobs) arriving(repo name.Repository, d digest.Digest) bool {
	for _, g := range []*flight.Group{b.flights, b.passing} {
		if _, ok := g.Size(downloadKey(repo, d)); ok {
			return true
		}
	}
	return false
}

// partedBlob is a blob that is read by ranges of the upstream, and by a download when these end or fail.
type partedBlob struct {
	size       int64
	fetchRange func(off int64) ([]byte, error)
	open       func() (registry.Blob, error)

	off   int64
	ahead []byte
	whole registry.Blob // nil while ranges do
}

var _ registry.Blob = (*partedBlob)(nil)

// Read implements io.Reader.
func (b *partedBlob) Read(p []byte) (int, error) {
	if b.off >= b.size {
		return 0, io.EOF
	}
	if b.whole == nil && len(b.ahead) == 0 {
		var err error
		if b.ahead, err = b.fetchRange(b.off); err != nil {
			// The download has its own way with what fails.
			if b.whole, err = b.open(); err != nil {
				return 0, err
			}
		}
	}
	if b.whole != nil {
		if _, err := b.whole.Seek(b.off, io.SeekStart); err != nil {
			return 0, err
		}
		n, err := b.whole.Read(p)
		b.off += int64(n)
		return n, err
	}
	n := copy(p, b.ahead)
	b.ahead, b.off = b.ahead[n:], b.off+int64(n)
	return n, nil
}

// Seek implements io.Seeker. It waits for nothing.
func (b *partedBlob) Seek(offset int64, whence int) (int64, error) {
	off, err := verify.Offset(b.off, b.size, offset, whence)
	if err == nil && off != b.off {
		b.off, b.ahead = off, nil
	}
	return off, err
}

// Close implements io.Closer.
func (b *partedBlob) Close() error {
	if b.whole == nil {
		return nil
	}
	return b.whole.Close()
}

// Size implements registry.Blob.
func (b *partedBlob) Size() int64 { return b.size }

// Origin implements registry.Blob.
func (b *partedBlob) Origin() registry.Origin { return registry.FromUpstream }
