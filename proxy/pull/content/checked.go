package content

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/verify"
)

// storedBlob is a blob from the store.
type storedBlob struct {
	*chunkstore.Content
	origin registry.Origin
}

var _ registry.FileBlob = storedBlob{}

// Origin implements registry.Blob.
func (b storedBlob) Origin() registry.Origin { return b.origin }

// maxChecked bounds the memory of checked to some megabytes.
const maxChecked = 1 << 16

// checked remembers which stored blobs this process has read through, and what they looked like. What has been read
// once is sent by the kernel from then on; an object that was replaced, cut or grown since is read again.
type checked struct {
	seen *lru.Cache[digest.Digest, look]
}

// look is what a blob looked like when its bytes were right.
type look struct {
	size     int64
	modified time.Time
}

func newChecked() checked {
	seen, _ := lru.New[digest.Digest, look](maxChecked) // fails for sizes below 1 only
	return checked{seen}
}

func (c checked) has(d digest.Digest, b *chunkstore.Content) bool {
	seen, ok := c.seen.Get(d)
	return ok && seen.size == b.Size() && seen.modified.Equal(b.ModTime())
}

func (c checked) add(d digest.Digest, b *chunkstore.Content) {
	c.seen.Add(d, look{b.Size(), b.ModTime()})
}

// stored makes what a client gets of an open stored blob.
func (b *Blobs) stored(ctx context.Context, repo name.Repository, d digest.Digest, c *chunkstore.Content) registry.Blob {
	blob := storedBlob{c, b.made.origin(d)}
	if b.checked.has(d, c) {
		return blob
	}
	return &checkedBlob{
		storedBlob: blob, content: verify.NewReadSeeker(c, d, c.Size()), right: func() { b.checked.add(d, c) },
		wrong: func(err error) {
			_ = b.State.Quarantine(context.WithoutCancel(ctx), d, err) // logged; the client hears of the damage
			b.Losses.Note(repo)
		},
	}
}

// checkedBlob is a stored blob that this process has not read before: its bytes are hashed on their way to the client,
// and the last one is held back until they are right. Ranges of a blob are not: only the whole has a digest, which the
// client checks.
type checkedBlob struct {
	storedBlob
	content *verify.ReadSeeker
	right   func()
	wrong   func(error)
	aside   bool // it was wrong, and that was told
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
	if b.content.Verified() {
		b.right()
	}
	if errors.Is(err, verify.ErrMismatch) {
		err = fmt.Errorf("stored blob: %w: %w", err, chunkstore.ErrCorrupt)
		if !b.aside {
			b.aside = true
			b.wrong(err)
		}
	}
	return n, err
}
