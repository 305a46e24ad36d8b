package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// part is a part that is being made: its plain bytes, with parts of its own among them.
type part struct {
	pieces  []piece
	encoder *Encoder
	kept    int   // its number, or -1
	wrapped int64 // length
	check   []byte
	memory  *memory
}

// piece is bytes or a part.
type piece struct {
	bytes *blob
	part  *result
}

// Write implements sink.
func (p *part) Write(b []byte) (int, error) {
	if n := len(p.pieces); n == 0 || p.pieces[n-1].bytes == nil {
		p.pieces = append(p.pieces, piece{bytes: newBlob(p.memory)})
	}
	return p.pieces[len(p.pieces)-1].bytes.Write(b)
}

// place implements sink.
func (p *part) place(r *result) error {
	p.pieces = append(p.pieces, piece{part: r})
	return nil
}

// result is what becomes of a part, some time.
type result struct {
	ready chan struct{}
	blob  *blob
	err   error
	users atomic.Int32
}

// wait returns the bytes when they are there.
func (r *result) wait(ctx context.Context) (*blob, error) {
	select {
	case <-r.ready:
		return r.blob, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drop says that one of the users is done with it. It is ready then, or all ends.
func (r *result) drop() error {
	if r.users.Add(-1) > 0 {
		return nil
	}
	select {
	case <-r.ready:
		if r.blob != nil {
			return r.blob.Close()
		}
	default:
	}
	return nil
}

// pool makes parts: it joins their pieces and runs their encoders, some at the same time.
type pool struct {
	o       ApplyOptions
	running chan struct{}
	begun   chan struct{} // jobs, some of which wait for encoders
	jobs    sync.WaitGroup
}

func newPool(o ApplyOptions) *pool {
	return &pool{o: o, running: make(chan struct{}, o.Parallel), begun: make(chan struct{}, 4*ahead)}
}

// wait waits until nothing runs.
func (p *pool) wait() { p.jobs.Wait() }

// start makes a part, which users wait for. When many are begun it waits for one: a part needs only those that were begun
// before it.
func (p *pool) start(ctx context.Context, q *part, users int) *result {
	r := &result{ready: make(chan struct{}), blob: newBlob(q.memory)}
	r.users.Store(int32(users))
	select {
	case p.begun <- struct{}{}:
	case <-ctx.Done():
		r.err = ctx.Err()
		close(r.ready)
		return r
	}
	p.jobs.Go(func() {
		defer func() { <-p.begun }()
		defer close(r.ready)
		r.err = rescue.Call(func() error { return p.make(ctx, q, r.blob) })
	})
	return r
}

// make writes a part's bytes.
func (p *pool) make(ctx context.Context, q *part, to *blob) error {
	var readers []io.Reader
	for _, piece := range q.pieces {
		b := piece.bytes
		if piece.part != nil {
			var err error
			if b, err = piece.part.wait(ctx); err != nil {
				return err
			}
		}
		readers = append(readers, b.reader())
	}
	if err := p.wrap(ctx, q, io.MultiReader(readers...), to); err != nil {
		return err
	}
	var errs []error
	for _, piece := range q.pieces {
		if piece.part != nil {
			errs = append(errs, piece.part.drop())
		} else {
			errs = append(errs, piece.bytes.Close())
		}
	}
	return errors.Join(errs...)
}

// wrap runs a part's encoder, if it has one.
func (p *pool) wrap(ctx context.Context, q *part, plain io.Reader, to *blob) error {
	if q.encoder == nil {
		_, err := io.Copy(to, plain)
		return err
	}
	select {
	case p.running <- struct{}{}:
		defer func() { <-p.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	sum := sha256.New()
	in, out := &source{r: plain}, &capped{w: io.MultiWriter(sum, to), left: q.wrapped}
	err := wrap.Encode(ctx, p.o.Encoders, *q.encoder, in, out)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case in.err != nil: // whatever the encoder makes of it
		return in.err
	case out.err != nil:
		return out.err
	case err != nil && !out.over:
		return fmt.Errorf("%w: %s: %w", ErrEncoder, q.encoder, err)
	case out.over || out.left > 0 || !bytes.Equal(sum.Sum(nil)[:checkBytes], q.check):
		return fmt.Errorf("%w: %s made other bytes than those %d", ErrEncoder, q.encoder, q.wrapped)
	}
	return nil
}

// source keeps the error that reading ended with.
type source struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// errOver ends an encoder that writes too much.
var errOver = errors.New("longer than it should be")

// capped takes so many bytes and no more.
type capped struct {
	w    io.Writer
	left int64
	over bool
	err  error // of w
}

// Write implements io.Writer.
func (c *capped) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		c.over = true
		return 0, errOver
	}
	n, err := c.w.Write(b)
	c.left -= int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}
