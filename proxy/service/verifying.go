package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/verify"
)

// maxVerified bounds the memory of verified to some megabytes.
const maxVerified = 1 << 16

// verified remembers which stored blobs this process has read through, and what they looked like. What has been read once is sent by the
// kernel from then on; an object that was replaced, cut or grown since is read again.
type verified struct {
	seen *lru.Cache[digest.Digest, seenBlob]
}

// seenBlob is what a blob looked like when its bytes were right.
type seenBlob struct {
	size     int64
	modified time.Time
}

func newVerified() verified {
	seen, _ := lru.New[digest.Digest, seenBlob](maxVerified) // fails for sizes below 1 only
	return verified{seen}
}

func (v verified) has(d digest.Digest, c *chunkstore.Content) bool {
	seen, ok := v.seen.Get(d)
	return ok && seen.size == c.Size() && seen.modified.Equal(c.ModTime())
}

func (v verified) add(d digest.Digest, c *chunkstore.Content) {
	v.seen.Add(d, seenBlob{c.Size(), c.ModTime()})
}

// stored makes what a client gets of an open stored blob.
func (s *Service) stored(ctx context.Context, repo name.Repository, d digest.Digest, c *chunkstore.Content) registry.Blob {
	b := storedBlob{c, s.storedOrigin(d)}
	if s.verified.has(d, c) {
		return b
	}
	return &checkedBlob{storedBlob: b, ctx: ctx, s: s, repo: repo, want: d, content: verify.NewReadSeeker(c, d, c.Size())}
}

// checkedBlob is a stored blob that this process has not read before: its bytes are hashed on their way to the client, and the last one is
// held back until they are right. Parts of a blob are not: only the whole has a digest, which the client checks.
type checkedBlob struct {
	storedBlob
	ctx  context.Context //nolint:containedctx // of the request that reads
	s    *Service
	repo name.Repository
	want digest.Digest

	content *verify.ReadSeeker
	aside   bool // it was wrong, and is in quarantine
}

var _ registry.Blob = (*checkedBlob)(nil)

// File hides that of the stored blob: the kernel would send it unseen.
func (b *checkedBlob) File() {}

// Seek implements io.Seeker.
func (b *checkedBlob) Seek(offset int64, whence int) (int64, error) {
	return b.content.Seek(offset, whence)
}

// Read implements io.Reader. What is wrong is put out of everybody's reach.
func (b *checkedBlob) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	switch {
	case b.content.Verified():
		b.s.verified.add(b.want, b.Content)
	case errors.Is(err, verify.ErrMismatch) && !b.aside:
		b.aside = true
		b.s.quarantine(context.WithoutCancel(b.ctx), b.want)
		b.s.losses.note(b.repo, b.s.Now())
	}
	if errors.Is(err, verify.ErrMismatch) {
		err = fmt.Errorf("stored blob: %w: %w", err, chunkstore.ErrCorrupt)
	}
	return n, err
}

var _ io.ReadSeekCloser = (*checkedBlob)(nil)

// quarantine puts damaged content aside.
func (s *Service) quarantine(ctx context.Context, d digest.Digest) {
	s.Logger.ErrorContext(ctx, "stored content is damaged and was put into quarantine", "digest", d.String())
	s.Metrics.Damaged("served")
	if err := s.Chunks.Quarantine(ctx, d); err != nil {
		s.Logger.ErrorContext(ctx, "damaged content could not be put into quarantine", "digest", d.String(), "error", err)
	}
}
