package content

import (
	"errors"
	"io"

	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/registry"
)

// arrivingBlob is a blob that is still on its way. Where its reader is far ahead of the download, it gets ranges of the
// blob by requests of their own, until the download has caught up.
type arrivingBlob struct {
	*flight.Reader
	size int64
	// fetchRange returns what comes at an offset, and pass the blob without keeping it.
	fetchRange func(off int64) ([]byte, error)
	pass       func() (*passedBlob, error)

	off   int64
	ahead []byte // what comes next, where the download is not
	slow  bool   // ranges can't be had
	// passed has the rest when there was no space for the download.
	passed *passedBlob
}

var _ registry.Blob = (*arrivingBlob)(nil)

// Read implements io.Reader.
func (b *arrivingBlob) Read(p []byte) (int, error) {
	if len(b.ahead) == 0 && !b.slow && b.Lag(b.off) > farAhead {
		var err error
		if b.ahead, err = b.fetchRange(b.off); err != nil {
			b.slow = true // the download has its own way with what fails
		}
	}
	if len(b.ahead) > 0 {
		n := copy(p, b.ahead)
		b.ahead, b.off = b.ahead[n:], b.off+int64(n)
		return n, nil
	}
	n, err := b.download(p)
	b.off += int64(n)
	return n, err
}

// download reads from the download, or, since that has no space left, past it.
func (b *arrivingBlob) download(p []byte) (int, error) {
	if b.passed == nil {
		if _, err := b.Reader.Seek(b.off, io.SeekStart); err != nil {
			return 0, err
		}
		n, err := b.Reader.Read(p)
		if n > 0 || !errors.Is(err, flight.ErrNoSpace) {
			return n, err
		}
		if b.passed, err = b.pass(); err != nil {
			return 0, err
		}
	}
	if _, err := b.passed.Seek(b.off, io.SeekStart); err != nil {
		return 0, err
	}
	return b.passed.Read(p)
}

// Close implements io.Closer.
func (b *arrivingBlob) Close() error {
	err := b.Reader.Close()
	if b.passed != nil {
		err = errors.Join(err, b.passed.Close())
	}
	return err
}

// Seek implements io.Seeker. It waits for nothing.
func (b *arrivingBlob) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset, whence = offset+b.off, io.SeekStart
	}
	off, err := b.Reader.Seek(offset, whence)
	if err == nil && off != b.off {
		b.off, b.ahead = off, nil
	}
	return off, err
}

// Size implements registry.Blob.
func (b *arrivingBlob) Size() int64 { return b.size }

// Origin implements registry.Blob.
func (b *arrivingBlob) Origin() registry.Origin { return registry.FromUpstream }
