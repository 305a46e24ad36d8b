package registry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// blobContent is a Blob as http.ServeContent reads it. Seeking costs nothing before the next Read. For multipart answers
// ServeContent reads from a goroutine of its own, which may outlive it: so there is a lock, and a panic of the Blob becomes
// an error here because nobody else could recover it.
type blobContent struct {
	size     int64
	panicked func(p any)

	mu     sync.Mutex
	blob   Blob
	want   int64 // where the next Read starts
	at     int64 // where the blob is
	err    error // the first that a Read met
	closed bool
}

func newBlobContent(b Blob, panicked func(p any)) *blobContent {
	return &blobContent{size: b.Size(), blob: b, panicked: panicked}
}

// Read reads up to the blob's size; a blob that ends before is an error.
func (c *blobContent) Read(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, os.ErrClosed
	}
	if c.want >= c.size {
		return 0, io.EOF
	}
	defer func() {
		if r := recover(); r != nil {
			c.panicked(r)
			n, err = 0, fmt.Errorf("panic while reading: %v", r)
		}
		if c.err == nil && err != nil {
			c.err = fmt.Errorf("read at %d of %d bytes: %w", c.want, c.size, err)
		}
	}()
	return c.read(p[:min(int64(len(p)), c.size-c.want)])
}

func (c *blobContent) read(p []byte) (int, error) {
	if c.at != c.want {
		at, err := c.blob.Seek(c.want, io.SeekStart)
		if err != nil {
			return 0, err
		}
		if at != c.want {
			return 0, fmt.Errorf("sought %d, got to %d", c.want, at)
		}
		c.at = at
	}
	n, err := c.blob.Read(p)
	if n < 0 || n > len(p) {
		return 0, fmt.Errorf("read of %d bytes gave %d", len(p), n)
	}
	c.at += int64(n)
	c.want = c.at
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 && len(p) > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Seek sets where the next Read starts.
func (c *blobContent) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.want
	case io.SeekEnd:
		offset += c.size
	default:
		return 0, fmt.Errorf("seek: whence %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek: position %d", offset)
	}
	c.want = offset
	return offset, nil
}

// Close closes the blob, after a Read that is under way.
func (c *blobContent) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.blob.Close()
}

// readError returns the first error that a Read met.
func (c *blobContent) readError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
