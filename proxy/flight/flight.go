package flight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/verify"
)

// copyBuffer is the number of bytes moved at a time: what a download holds in memory.
const copyBuffer = 128 << 10

// flight is one download.
type flight struct {
	group *Group
	key   digest.Digest
	spool *spool

	refs int // guarded by group.mu

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

func newFlight(g *Group, key digest.Digest) (*flight, error) {
	s, err := newSpool(g.opts.WorkDir, g.budget)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", key, err)
	}
	return &flight{group: g, key: key, spool: s, storing: make(chan struct{}, 1), size: -1}, nil
}

// run downloads the blob. ctx is the download's own.
func (f *flight) run(ctx context.Context, fetch Fetch) {
	tee := &sinkWriter{sink: f.group.opts.Sink, key: f.key}
	err := f.receive(ctx, fetch, tee)
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
	if !watched && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrStored) && !errors.Is(err, ErrNoSpace) {
		f.group.log.Warn("download failed after its readers had left", "digest", f.key, "error", err)
	}
	if cancelErr := tee.cancel(ctx); cancelErr != nil {
		f.group.log.Warn("a failed download could not be removed from the store", "digest", f.key, "error", cancelErr)
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
	if err := f.spool.book(size); err != nil {
		return err
	}
	f.update(func() { f.opened, f.size = true, max(size, -1) })
	tee.open(ctx)

	buf := make([]byte, copyBuffer)
	var total int64
	for {
		n, readErr := body.Read(buf)
		if n > 0 {
			total += int64(n)
			if err := f.checkSize(total); err != nil {
				return err
			}
			if err := f.spool.write(buf[:n]); err != nil {
				return err
			}
			f.update(func() { f.written = total })
			tee.write(buf[:n])
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
	return Progress{Digest: f.key, Written: f.written, Size: f.size, Done: f.verified}
}
