package flight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// copyBuffer is the number of bytes moved at a time: what a download holds in memory.
const copyBuffer = 128 << 10

// grace is how long a download that has begun goes on when its last reader has left.
const grace = 10 * time.Second

// cheapRest is up to how many bytes a download that has begun is finished although nobody waits for it.
const cheapRest = 16 << 20

// errAbandoned ends a download that nobody waits for.
var errAbandoned = errors.New("nobody waits for the download any more")

// flight is one download.
type flight struct {
	group *Group
	key   Key
	spool *spool

	// Guarded by group.mu.
	refs   int
	cancel context.CancelCauseFunc // ends the download; nil when it has ended
	grace  *time.Timer             // runs out some time after the last reader left
	// lingers says that it is complete, and that its own reference is given back when grace runs out.
	lingers bool

	storing chan struct{} // holds one token while storeAgain is at work

	mu       sync.Mutex
	changed  chan struct{} // closed at the next change of what follows; nil when nobody waits
	opened   bool          // the source has answered
	verified bool          // the source has ended well
	settled  bool          // verified, and the Sink has committed or failed
	written  int64
	size     int64 // -1 while unknown
	err      error // why the download failed
	sinkErr  error // why the Sink does not have the blob
}

func newFlight(g *Group, key Key) *flight {
	s := &spool{dir: g.opts.WorkDir, space: g.opts.Space}
	return &flight{group: g, key: key, spool: s, storing: make(chan struct{}, 1), size: -1}
}

// run downloads the blob. ctx is the download's own.
func (f *flight) run(ctx context.Context, fetch Fetch) {
	tee := &sinkWriter{sink: f.group.opts.Sink, digest: f.key.Digest}
	ctx, ended := tracing.Start(ctx, "download", "scope", f.key.Scope, "digest", f.key.Digest)
	err := rescue.Call(func() error { return f.receive(ctx, fetch, tee) })
	ended(err)
	if err == nil {
		f.update(func() { f.verified, f.size = true, f.written })
		f.settle(tee.commit(ctx))
		return
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // the reason, rather than what the source made of it
	}
	// Forgotten first, so that whoever sees the error can try anew at once.
	watched := f.group.forget(f)
	err = fmt.Errorf("download %s: %w", f.key, err)
	f.update(func() { f.err = err })
	if !watched && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrStored) && !errors.Is(err, ErrNoSpace) &&
		!errors.Is(err, errAbandoned) {
		f.group.log.Warn("download failed after its readers had left", "digest", f.key.Digest, "error", err)
	}
	if cancelErr := tee.cancel(ctx); cancelErr != nil {
		f.group.log.Warn("a failed download could not be removed from the store", "digest", f.key.Digest, "error", cancelErr)
	}
}

// receive moves the source's bytes to the spool and the Sink. It returns nil when all have arrived and were verified.
func (f *flight) receive(ctx context.Context, fetch Fetch, tee *sinkWriter) (err error) {
	source, size, err := fetch(ctx)
	if err != nil {
		return err
	}
	body := verify.NewReader(source, "", max(size, verify.AnySize)) // the digest is the source's matter
	defer func() {
		if closeErr := body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close the source: %w", closeErr)
		}
	}()
	if err := f.checkSize(size); err != nil {
		return err
	}
	f.update(func() { f.opened, f.size = true, max(size, -1) })

	buf := make([]byte, copyBuffer)
	var total int64
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			total += int64(n)
			if err := f.checkSize(total); err != nil {
				return err
			}
			if err := f.keep(ctx, tee, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case readErr == io.EOF:
			return nil
		case errors.Is(readErr, verify.ErrMismatch) && total < size:
			return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, readErr)
		case readErr != nil:
			return readErr
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// keep brings bytes to the Sink and to where readers find them. Files come into being with the first of them.
func (f *flight) keep(ctx context.Context, tee *sinkWriter, p []byte) error {
	err := f.spool.book(int64(len(p)))
	if err != nil && f.group.dropIdle() {
		err = f.spool.book(int64(len(p)))
	}
	if err != nil {
		return err
	}
	if f.spool.end == 0 {
		if file := tee.open(ctx); file != nil {
			f.spool.follow(file)
		} else if err := f.spool.begin(); err != nil {
			return err
		}
	}
	follows := f.spool.follows()
	if follows && !tee.write(p) { // readers do without the Sink
		if err := f.spool.begin(); err != nil {
			return err
		}
	}
	if err := f.spool.write(p); err != nil {
		return err
	}
	f.update(func() { f.written = f.spool.end })
	if !follows {
		tee.write(p) // last: readers do not wait for a slow one
	}
	return nil
}

// complete reports whether all bytes have come and were verified.
func (f *flight) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verified
}

// begun reports whether bytes have come.
func (f *flight) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written > 0 || f.verified
}

// worthFinishing reports whether a download goes on that nobody waits for: when half of it is there, or little is left.
func (f *flight) worthFinishing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.size - f.written
	return f.verified || f.written > 0 && f.size >= 0 && (left <= f.written || left <= cheapRest)
}

// checkSize holds a number of bytes against the limit.
func (f *flight) checkSize(n int64) error {
	if limit := f.group.opts.MaxBytes; limit > 0 && n > limit {
		return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	}
	return nil
}

// update changes the flight's state and wakes everyone who waits for a change.
func (f *flight) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// await blocks until ready, called under the lock after every change, says true; it returns an error if ctx ends first.
func (f *flight) await(ctx context.Context, ready func() bool) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.mu.Lock()
		if ready() {
			f.mu.Unlock()
			return nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// awaitOpened waits for the source's answer.
func (f *flight) awaitOpened(ctx context.Context) (err error) {
	waitErr := f.await(ctx, func() bool { err = f.err; return f.opened || err != nil })
	if waitErr != nil {
		return waitErr
	}
	return err
}

// awaitStored waits for the Sink's verdict.
func (f *flight) awaitStored(ctx context.Context) (err error) {
	waitErr := f.await(ctx, func() bool {
		err = f.err
		if f.settled {
			err = f.sinkErr
		}
		return f.settled || f.err != nil
	})
	if waitErr != nil {
		return waitErr
	}
	return err
}

// awaitSize waits until the blob's size is known.
func (f *flight) awaitSize(ctx context.Context) (size int64, err error) {
	waitErr := f.await(ctx, func() bool { size, err = f.size, f.err; return size >= 0 || err != nil })
	if waitErr != nil {
		return 0, waitErr
	}
	return size, err
}

// awaitByte waits until the byte at off may be read and returns the end of the readable bytes. It returns io.EOF when the
// blob is verified and ends at or before off.
func (f *flight) awaitByte(ctx context.Context, off int64) (end int64, err error) {
	waitErr := f.await(ctx, func() bool {
		end, err = f.written, f.err
		if err != nil {
			return true
		}
		if f.verified {
			if off >= end {
				err = io.EOF
			}
			return true
		}
		return off < end
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return end, err
}

// lag returns how far the download is from a byte.
func (f *flight) lag(off int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.verified || f.err != nil {
		return 0
	}
	return max(off+1-f.written, 0)
}

func (f *flight) progress() Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Progress{Key: f.key, Written: f.written, Size: f.size, Done: f.verified}
}
