package content

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/verify"
)

// passedBlob passes a blob on from the upstream to one client, and keeps nothing: for when there is no space to keep it
// in. It reads the blob from its start whatever the client asks for, so that all of it is verified: the upstream's
// reader holds the last byte back until it is.
type passedBlob struct {
	open func(size int64) (io.ReadCloser, int64, error)
	size int64

	off  int64 // of the next Read
	body io.ReadCloser
	at   int64 // where body is
}

var _ registry.Blob = (*passedBlob)(nil)

// passOn opens a blob that cannot be kept. size is -1 when unknown.
func passOn(d digest.Digest, size int64, open func(size int64) (io.ReadCloser, int64, error)) (*passedBlob, error) {
	b := &passedBlob{open: open, size: size}
	if err := b.start(); err != nil {
		return nil, err
	}
	if b.size < 0 {
		return nil, errors.Join(fmt.Errorf("the upstream does not tell the size of %s", d), b.Close())
	}
	return b, nil
}

func (b *passedBlob) start() error {
	body, size, err := b.open(b.size)
	if err != nil {
		return err
	}
	b.body, b.at, b.size = body, 0, size
	return nil
}

// Read implements io.Reader.
func (b *passedBlob) Read(p []byte) (int, error) {
	if b.off >= b.size && b.size > 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.align(); err != nil {
		return 0, err
	}
	n, err := b.body.Read(p)
	b.at, b.off = b.at+int64(n), b.off+int64(n)
	return n, err
}

// align makes the body stand where the next byte is wanted.
func (b *passedBlob) align() error {
	if b.body != nil && b.at > b.off {
		_ = b.body.Close() // what it would say concerns nobody any more
		b.body = nil
	}
	if b.body == nil {
		if err := b.start(); err != nil {
			return err
		}
	}
	n, err := io.CopyN(io.Discard, b.body, b.off-b.at)
	b.at += n
	return err
}

// Seek implements io.Seeker. It waits for nothing.
func (b *passedBlob) Seek(offset int64, whence int) (int64, error) {
	off, err := verify.Offset(b.off, b.size, offset, whence)
	if err == nil {
		b.off = off
	}
	return off, err
}

// Close implements io.Closer.
func (b *passedBlob) Close() error {
	if b.body == nil {
		return nil
	}
	body := b.body
	b.body = nil
	return body.Close()
}

// Size implements registry.Blob.
func (b *passedBlob) Size() int64 { return b.size }

// Origin implements registry.Blob.
func (b *passedBlob) Origin() registry.Origin { return registry.FromUpstream }
