package flight

import (
	"context"
	"io"
	"io/fs"
	"sync"

	"github.com/strata-oci/strata/proxy/verify"
)

// Reader reads a blob while it arrives. It is for one goroutine, except for Close. It never returns io.EOF, nor the last
// byte, of a blob that was not verified, since its source does not; when verification fails, every read gives the error.
type Reader struct {
	flight *flight
	ctx    context.Context // ends with the caller's context or with Close
	cancel context.CancelCauseFunc
	detach func() bool // undoes the release at the end of the context
	once   sync.Once
	off    int64
}

var _ io.ReadSeekCloser = (*Reader)(nil)

// newReader takes over one reference to f. The end of ctx gives it back, as Close does: a reader that is left lying about
// holds no disk space for longer than the request that made it.
func newReader(ctx context.Context, f *flight) *Reader {
	r := &Reader{flight: f}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.detach = context.AfterFunc(ctx, r.release)
	return r
}

// Read returns bytes at the reader's position, blocking until there are some.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	end, err := r.flight.awaitByte(r.ctx, r.off)
	if err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), end-r.off)]
	if err := r.flight.spool.readAt(p, r.off); err != nil {
		if r.ctx.Err() != nil { // released in between
			return 0, context.Cause(r.ctx)
		}
		return 0, err
	}
	r.off += int64(len(p))
	return len(p), nil
}

// Seek moves the position, forward too, without waiting for the bytes in between; only io.SeekEnd waits for the size.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	var size int64
	if whence == io.SeekEnd {
		var err error
		if size, err = r.Size(); err != nil {
			return 0, err
		}
	}
	off, err := verify.Offset(r.off, size, offset, whence)
	if err == nil {
		r.off = off
	}
	return off, err
}

// Lag returns how many bytes must arrive before the one at off can be read; 0 when it can be now. A download that failed has
// no lag.
func (r *Reader) Lag(off int64) int64 { return r.flight.lag(off) }

// Size returns the blob's length in bytes. Where the source didn't announce it, Size waits for the blob's end.
func (r *Reader) Size() (int64, error) { return r.flight.awaitSize(r.ctx) }

// Close ends the reader; a Read that blocks returns fs.ErrClosed. The download goes on. It always returns nil, and may be
// called more than once.
func (r *Reader) Close() error {
	r.cancel(fs.ErrClosed)
	r.detach()
	r.release()
	return nil
}

func (r *Reader) release() {
	r.once.Do(func() { r.flight.group.release(r.flight) })
}
