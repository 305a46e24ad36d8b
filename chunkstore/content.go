package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Content is open stored content, positioned at its first byte. It is for one goroutine; the caller closes it. Its bytes
// were verified when they were stored, and are not again.
type Content struct {
	src  io.ReadSeekCloser
	file *os.File // src, when the content is a file
	size int64
	time time.Time
	// leave, when not nil, ends the protection of content that is being read.
	leave func()
}

var _ io.ReadSeekCloser = (*Content)(nil)

// Open opens content, or returns ErrNotFound. Seeking costs nothing; a Read after it asks the backend for the bytes from
// there. ctx must last as long as the content is read. A Read that failed may be repeated: it goes on where the last one
// ended.
func (s *Store) Open(ctx context.Context, d digest.Digest) (*Content, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	op, path := "open content "+string(d), blobPath(d)
	if s.dirs != nil {
		c, err := s.openFile(ctx, path)
		if err != nil {
			return nil, failed(op, err)
		}
		if c != nil {
			return c, nil
		}
	}
	leave := s.readers.add(d) // first: who looks before removing must see it
	fi, err := s.stat(ctx, path)
	if err != nil {
		leave()
		return nil, failed(op, err)
	}
	open := func(off int64) (io.ReadCloser, error) { return s.driver.Reader(ctx, path, off) }
	return &Content{src: &ranged{name: string(d), open: open, size: fi.Size()}, size: fi.Size(), time: fi.ModTime(),
		leave: sync.OnceFunc(leave)}, nil
}

// openFile opens content on a driver that keeps files; it returns nil when this one hands out something else.
func (s *Store) openFile(ctx context.Context, path string) (*Content, error) {
	rc, err := s.driver.Reader(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	f, ok := rc.(*os.File)
	if !ok {
		return nil, rc.Close()
	}
	fi, err := regular(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Content{src: f, file: f, size: fi.Size(), time: fi.ModTime()}, nil
}

// Size is the content's length in bytes.
func (c *Content) Size() int64 { return c.size }

// ModTime is when the content was stored, by the backend's clock.
func (c *Content) ModTime() time.Time { return c.time }

// File returns the file that holds the content, on a driver that keeps files. It shares its position with the Content and is
// closed by it. An HTTP server that is given this file can let the kernel copy it to the client (sendfile).
func (c *Content) File() (*os.File, bool) { return c.file, c.file != nil }

// Read reads on from the current position.
func (c *Content) Read(p []byte) (int, error) { return c.src.Read(p) }

// Seek sets the position of the next Read.
func (c *Content) Seek(offset int64, whence int) (int64, error) { return c.src.Seek(offset, whence) }

// Close releases the content.
func (c *Content) Close() error {
	if c.leave != nil {
		c.leave()
	}
	return c.src.Close()
}

// skipLimit is up to how many bytes it is cheaper to read and drop than to ask the backend anew.
const skipLimit = 128 << 10

// ranged reads an object through a driver that can begin at any offset, and asks it only when bytes are wanted.
type ranged struct {
	name   string
	open   func(off int64) (io.ReadCloser, error)
	size   int64
	off    int64         // of the next Read
	body   io.ReadCloser // nil, or open and positioned at
	at     int64
	closed bool
}

func (r *ranged) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, os.ErrClosed
	case r.off >= r.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if err := r.align(); err != nil {
		r.forget()
		return 0, failed("read content "+r.name, err)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.off)])
	r.off += int64(n)
	r.at += int64(n)
	if errors.Is(err, io.EOF) {
		// The object ended; whether that is right shows in the next Read, or here.
		r.forget()
		err = nil
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		r.forget()
		return n, failed("read content "+r.name, err)
	}
	return n, nil
}

// align makes body stand at off.
func (r *ranged) align() error {
	if r.body != nil && r.off > r.at && r.off-r.at <= skipLimit {
		n, err := io.CopyN(io.Discard, r.body, r.off-r.at)
		r.at += n
		if err != nil {
			return err
		}
	}
	if r.body != nil && r.at == r.off {
		return nil
	}
	r.forget()
	body, err := r.open(r.off)
	if err != nil {
		return err
	}
	r.body, r.at = body, r.off
	return nil
}

// forget closes the body; the next Read opens another. What it would say on closing concerns bytes that nobody asked for.
func (r *ranged) forget() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

func (r *ranged) Seek(offset int64, whence int) (int64, error) {
	switch {
	case r.closed:
		return 0, os.ErrClosed
	case whence == io.SeekCurrent:
		offset += r.off
	case whence == io.SeekEnd:
		offset += r.size
	case whence != io.SeekStart:
		return 0, fmt.Errorf("seek in content %s: unknown origin %d", r.name, whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in content %s: position %d is before its start", r.name, offset)
	}
	r.off = offset
	return offset, nil
}

func (r *ranged) Close() error {
	if r.closed {
		return os.ErrClosed
	}
	r.closed = true
	r.forget()
	return nil
}
