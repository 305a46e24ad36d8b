// Package verify has the reader through which content from disks, registries and archives is read: it passes bytes on while
// they come, and the last one only when all of them are known to be right.
//
// A receiver who counts bytes, as HTTP clients and writers of known length do, hence never takes wrong content for complete.
package verify

import (
	_ "crypto/sha256" // the digests' algorithms
	_ "crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
)

// ErrMismatch is in the chain of every error about content that is not what it was said to be: another digest, other bytes
// than its digest stands for, too few or too many of them.
var ErrMismatch = errors.New("content is not what its digest says")

// AnySize stands for a size that is not known.
const AnySize = -1

// maxEmptyReads is how often in a row a source may give neither bytes nor an error.
const maxEmptyReads = 100

// Reader reads content of a digest. It is for one goroutine.
//
// Read gives the last byte and then io.EOF once the source has ended and size and digest are right. When they are wrong, the
// last byte that came is kept back, with what came together with it where the size is known, and every further Read gives an
// error that wraps ErrMismatch. An error of the source is passed on as it is and is as final.
type Reader struct {
	src  io.Reader
	want digest.Digest
	size int64     // AnySize while unknown
	sum  hash.Hash // nil: only the size is checked
	got  int64     // bytes that came from src
	last byte      // the newest of them, which is not given out yet
	held bool      // last is one
	err  error     // what Read says when there is nothing more to give
}

// NewReader returns a reader of src, whose bytes must have the digest d (sha256 or sha512), and be as many as size unless
// that is AnySize. An empty digest means that there is none to check, as of a part of some content: then the size counts
// alone, and of content of which nothing is known nothing is held back.
func NewReader(src io.Reader, d digest.Digest, size int64) *Reader {
	r := &Reader{src: src, want: d, size: size}
	switch {
	case size < AnySize:
		r.err = fmt.Errorf("%s cannot have %d bytes: %w", r.name(), size, ErrMismatch)
	case d == "":
	case d.Validate() != nil:
		r.err = fmt.Errorf("digest %q: %w: %w", d, d.Validate(), ErrMismatch)
	default:
		r.sum = d.Algorithm().Hash()
	}
	return r
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for range maxEmptyReads {
		if r.err != nil {
			return r.end(p)
		}
		if n := r.pass(p); n > 0 {
			return n, nil
		}
	}
	r.err = io.ErrNoProgress
	return 0, r.err
}

// pass reads once from the source and leaves in p what may be given out: the byte that was held back and what came, without
// the last of them. Of content whose size is known, that is held back only where it is the content's last.
func (r *Reader) pass(p []byte) int {
	if !r.held {
		n := r.fetch(p)
		if n == 0 || r.size >= 0 && r.got < r.size || r.size < 0 && r.sum == nil {
			return n
		}
		r.last, r.held = p[n-1], true
		return n - 1
	}
	next := p[1:]
	if len(next) == 0 {
		next = make([]byte, 1)
	}
	n := r.fetch(next)
	if n == 0 {
		return 0
	}
	p[0], r.last = r.last, next[n-1]
	return n
}

// fetch reads once from the source, hashes what came, and sets err when the content has ended, well or not. Bytes that are
// too many are none.
func (r *Reader) fetch(p []byte) int {
	n, err := r.src.Read(p)
	if n < 0 || n > len(p) {
		r.err = fmt.Errorf("%s: its source gave %d bytes of %d", r.name(), n, len(p))
		return 0
	}
	if r.size >= 0 && r.got+int64(n) > r.size {
		r.err = fmt.Errorf("%s has more than the announced %d bytes: %w", r.name(), r.size, ErrMismatch)
		return 0
	}
	r.got += int64(n)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	switch {
	case err != nil:
		r.err = r.judge(err)
	case r.got == r.size:
		r.err = r.compare() // not io.EOF: the source may go on
	}
	if r.err != nil && r.err != io.EOF && r.got == r.size {
		return 0
	}
	return n
}

// judge turns the source's last word into the reader's.
func (r *Reader) judge(err error) error {
	switch {
	case err != io.EOF:
		return err
	case r.size >= 0 && r.got < r.size:
		return fmt.Errorf("%s ends after %d of %d bytes: %w", r.name(), r.got, r.size, ErrMismatch)
	}
	if err := r.compare(); err != nil {
		return err
	}
	return io.EOF
}

// compare holds the digest of what came against the wanted one.
func (r *Reader) compare() error {
	if r.sum == nil {
		return nil
	}
	if got := digest.NewDigest(r.want.Algorithm(), r.sum); got != r.want {
		return fmt.Errorf("%s has the digest %s: %w", r.name(), got, ErrMismatch)
	}
	return nil
}

// end gives out the last byte of right content, and then err.
func (r *Reader) end(p []byte) (int, error) {
	if r.err == io.EOF && r.held {
		r.held = false
		p[0] = r.last
		return 1, nil
	}
	return 0, r.err
}

// Verified reports whether the content came to its end and was right.
func (r *Reader) Verified() bool { return r.err == io.EOF }

// given is how many bytes were given out.
func (r *Reader) given() int64 {
	if r.held {
		return r.got - 1
	}
	return r.got
}

// ended reports whether all was given out that ever will be.
func (r *Reader) ended() bool { return r.err != nil && !r.held }

// Close closes the source, if that can be closed. A Read after it gives fs.ErrClosed; whether the content was read to its
// end is no matter of Close.
func (r *Reader) Close() error {
	r.err, r.held = fs.ErrClosed, false
	if c, ok := r.src.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// name is the content's in messages.
func (r *Reader) name() string {
	if r.want == "" {
		return "content"
	}
	return string(r.want)
}
