package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// DefaultCallLimit is how long a call of an "s3" driver may take when Options does not say.
const DefaultCallLimit = 4 * time.Second

// What takes longer than a look-up, in call limits.
const (
	streamLimits = 4  // without a byte, or a page of a listing
	writeLimits  = 8  // for a part of an upload, and to end it
	moveLimits   = 60 // for a copy within the backend, whose time grows with the object
	// smallPut is up to how many bytes writing counts as a look-up.
	smallPut = 1 << 20
)

// errLate is the cause with which a call ends that took too long.
var errLate = errors.New("no answer in time")

// guarded is a driver whose calls end in time, as long as the driver heeds its context, and fail at once while the backend
// is known not to answer.
type guarded struct {
	storagedriver.StorageDriver
	limit time.Duration
	reach *reach
}

var _ storagedriver.StorageDriver = (*guarded)(nil)

// guard decorates a driver, as Options.CallLimit says.
func guard(driver storagedriver.StorageDriver, limit time.Duration, log *slog.Logger) storagedriver.StorageDriver {
	if limit == 0 && driver.Name() == "s3aws" {
		limit = DefaultCallLimit
	}
	if limit <= 0 {
		return driver
	}
	return &guarded{driver, limit, &reach{log: log}}
}

// call makes a call that has a limit.
func (g *guarded) call(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	if err := g.reach.admit(); err != nil {
		return err
	}
	w := g.watch(ctx, limit)
	defer w.stop()
	return w.judge(do(w.ctx))
}

// GetContent is of little use to a Store, which reads through Reader.
func (g *guarded) GetContent(ctx context.Context, path string) (b []byte, err error) {
	err = g.call(ctx, g.limit, func(ctx context.Context) error {
		b,
			err = g.StorageDriver.GetContent(ctx, path)
		return err
	})
	return b, err
}

// PutContent has a limit that depends on the size.
func (g *guarded) PutContent(ctx context.Context, path string, b []byte) error {
	limit := g.limit
	if len(b) > smallPut {
		limit *= writeLimits
	}
	return g.call(ctx, limit, func(ctx context.Context) error { return g.StorageDriver.PutContent(ctx, path, b) })
}

// Stat has a limit.
func (g *guarded) Stat(ctx context.Context, path string) (fi storagedriver.FileInfo, err error) {
	err = g.call(ctx, g.limit, func(ctx context.Context) error { fi, err = g.StorageDriver.Stat(ctx, path); return err })
	return fi, err
}

// List has a limit.
func (g *guarded) List(ctx context.Context, path string) (paths []string, err error) {
	err = g.call(ctx, g.limit, func(ctx context.Context) error { paths, err = g.StorageDriver.List(ctx, path); return err })
	return paths, err
}

// Move has a limit for large objects.
func (g *guarded) Move(ctx context.Context, from, to string) error {
	return g.call(ctx, moveLimits*g.limit, func(ctx context.Context) error { return g.StorageDriver.Move(ctx, from, to) })
}

// Delete has a limit.
func (g *guarded) Delete(ctx context.Context, path string) error {
	return g.call(ctx, g.limit, func(ctx context.Context) error { return g.StorageDriver.Delete(ctx, path) })
}

// Walk may take long, but not between two objects; the time that fn takes does not count.
func (g *guarded) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	if err := g.reach.admit(); err != nil {
		return err
	}
	w := g.watch(ctx, streamLimits*g.limit)
	defer w.stop()
	var own error
	err := g.StorageDriver.Walk(w.ctx, path, func(fi storagedriver.FileInfo) error {
		w.pause()
		g.reach.answered()
		own = fn(fi)
		w.resume()
		return own
	}, options...)
	if own != nil {
		return err // no failure of the backend
	}
	return w.judge(err)
}

// Reader opens within the limit; later each Read has a limit of its own.
func (g *guarded) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if err := g.reach.admit(); err != nil {
		return nil, err
	}
	w := g.watch(ctx, g.limit)
	rc, err := g.StorageDriver.Reader(w.ctx, path, offset)
	w.pause()
	if err = w.judge(err); err != nil {
		w.stop()
		if rc != nil {
			_ = rc.Close()
		}
		return nil, err
	}
	if _, ok := rc.(*os.File); ok {
		w.stop()
		return rc, nil
	}
	w.limit = streamLimits * g.limit
	return &guardedReader{rc, w}, nil
}

type guardedReader struct {
	io.ReadCloser
	w *watched
}

func (r *guardedReader) Read(p []byte) (int, error) {
	r.w.resume()
	n, err := r.ReadCloser.Read(p)
	r.w.pause()
	if errors.Is(err, io.EOF) {
		return n, err
	}
	return n, r.w.judge(err)
}

func (r *guardedReader) Close() error {
	r.w.stop() // first: what hangs must not be waited for
	return r.ReadCloser.Close()
}

// Writer opens within the limit; later each call of it has a limit of its own.
func (g *guarded) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	if err := g.reach.admit(); err != nil {
		return nil, err
	}
	w := g.watch(ctx, g.limit)
	fw, err := g.StorageDriver.Writer(w.ctx, path, append)
	w.pause()
	if err = w.judge(err); err != nil {
		w.stop()
		return nil, err
	}
	w.limit = writeLimits * g.limit
	return &guardedWriter{fw, w}, nil
}

// guardedWriter watches the context under which the driver's writer was opened, which is the one that it uploads under.
type guardedWriter struct {
	storagedriver.FileWriter
	w *watched
}

func (f *guardedWriter) Write(p []byte) (int, error) {
	f.w.resume()
	n, err := f.FileWriter.Write(p)
	f.w.pause()
	return n, f.w.judge(err)
}

func (f *guardedWriter) Commit(ctx context.Context) error {
	f.w.resume()
	limited, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.w.ctx, stop)()
	err := f.FileWriter.Commit(limited)
	f.w.pause()
	return f.w.judge(err)
}

func (f *guardedWriter) Cancel(ctx context.Context) error {
	defer f.w.stop()
	return f.w.g.call(ctx, f.w.limit, f.FileWriter.Cancel)
}

func (f *guardedWriter) Close() error {
	defer f.w.stop()
	f.w.resume()
	err := f.FileWriter.Close()
	f.w.pause()
	return f.w.judge(err)
}

// watched is a context that ends when a call under it takes too long. It is for one goroutine.
type watched struct {
	g      *guarded
	ctx    context.Context //nolint:containedctx // the driver goes on under it: a context with a watch
	gaveUp func() error    // not nil when the caller's own context has ended
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// watch begins with a call under way.
func (g *guarded) watch(parent context.Context, limit time.Duration) *watched {
	ctx, cancel := context.WithCancelCause(parent)
	return &watched{g, ctx, parent.Err, cancel, time.AfterFunc(limit, func() { cancel(errLate) }), limit}
}

// resume is called when a call begins, pause when it has ended.
func (w *watched) resume() { w.timer.Reset(w.limit) }
func (w *watched) pause()  { w.timer.Stop() }

// stop ends the context. Only the first reason that it ended for counts.
func (w *watched) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// judge finds out what a call's error says about the backend.
func (w *watched) judge(err error) error {
	reach := w.g.reach
	if err == nil && !errors.Is(context.Cause(w.ctx), errLate) {
		reach.answered()
		return nil
	}
	switch {
	case w.gaveUp() != nil, slices.Contains(causes(err), context.Canceled) && w.ctx.Err() == nil:
		reach.abandoned()
		return err
	case errors.Is(context.Cause(w.ctx), errLate):
		err = &unreachable{fmt.Errorf("no answer within %s", w.limit)}
	case anyCause(causes(err), isUnreachable) && !anyCause(causes(err), isNotFound):
		err = &unreachable{shown(causes(err))[0]}
	default: // an error, but an answer
		reach.answered()
		return err
	}
	reach.failed(err)
	return err
}
