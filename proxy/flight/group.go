// Package flight downloads a blob once, however many want it at the same time.
//
// A flight is one running download. Its bytes go, in one pass, to a Sink that keeps them. The flight's readers, each at its
// own pace and offset, read the file that the Sink writes, where that is one, so that a blob is written to disk once; else a
// nameless temporary file. Either comes into being with the first byte.
//
// The download belongs to no reader and lives under its own context. When the last reader leaves, it ends if not a byte has
// come. Else it goes on for ten seconds, in which somebody may come back for the rest or for another range, and then only if
// it is worth finishing: when half of the blob is there or at most 16 MiB are missing. What nobody keeps may linger when it
// is complete, for who comes back.
//
// Nobody sees the end of a blob before the whole of it was verified: sources hold the last byte back until it was, as a
// verify.Reader does.
package flight

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// Errors of this package, to be tested with errors.Is.
var (
	// ErrClosed says that the Group was closed.
	ErrClosed = errors.New("downloads are shut down")
	// ErrNoSpace says that the file system of Options.WorkDir is full or read-only, or that Options.Space is used up.
	ErrNoSpace = errors.New("no space left in the work directory")
	// ErrTooLarge says that a blob is larger than Options.MaxBytes.
	ErrTooLarge = errors.New("blob exceeds the size limit")
	// ErrStored may be returned by a Fetch: the blob is in the store, open it there. It closes the gap between a caller's
	// look into the store and its call of Open, in which another download may have ended.
	ErrStored = errors.New("blob is already stored")
)

// Key names a download. Who may share one share their Scope, which the caller chooses: a registry's host and repository,
// where what one of them may have is not for the others to see. A complete blob is the Sink's, and the scope means nothing
// any more.
type Key struct {
	Scope  string
	Digest digest.Digest
}

// String returns the scope and the digest: "ghcr.io/a/b@sha256:…".
func (k Key) String() string { return k.Scope + "@" + string(k.Digest) }

// Fetch opens a blob at its source: a stream that verifies itself, as a verify.Reader does, giving an error instead of its
// last byte when the bytes are wrong, and its size in bytes, -1 if unknown. The stream must end when ctx does, which is when
// the download has ended and the Sink has the blob or has dropped it. A Fetch may return ErrStored.
type Fetch func(ctx context.Context) (io.ReadCloser, int64, error)

// Sink takes complete blobs. It is safe for concurrent use, also for several Writers of one digest.
type Sink interface {
	// Create starts a blob. The caller ends the Writer with Commit or Cancel, and commits only what it has verified.
	Create(ctx context.Context, d digest.Digest) (Writer, error)
}

// Writer takes one blob's bytes. It is for one goroutine. After an error of Write or Commit, Cancel is still called.
type Writer interface {
	io.Writer
	// Open, before the first Write, opens the file that takes the bytes for reading, if it is one that has every byte as
	// soon as Write returns; else it returns nil. The file can be read after Commit and Cancel, too; the caller closes it.
	Open() (*os.File, error)
	// Commit makes the blob visible, all of it or nothing.
	Commit(ctx context.Context) error
	// Cancel drops what was written.
	Cancel(ctx context.Context) error
}

// Space bounds what downloads and others take of the disk. It is safe for concurrent use.
type Space interface {
	// TakeWhole books n bytes more for a download that has own, or returns an error. One that has all that is used may have
	// as much as it wants: else a blob larger than the bound could never be had.
	TakeWhole(own, n int64) error
	// Give returns n booked bytes.
	Give(n int64)
}

// Options configure a Group.
type Options struct {
	// WorkDir holds the temporary files, as large as the blobs on their way. Empty means os.TempDir().
	WorkDir string
	// Sink keeps the blobs; nil: nobody does, they are there for who reads them. A Write that blocks holds the download up.
	Sink Sink
	// Linger is how long a complete blob can still be joined when its last reader has left, unless its bytes are needed in
	// Space.
	Linger time.Duration
	// MaxBytes bounds one blob; 0 means no bound.
	MaxBytes int64
	// Space bounds the bytes of all downloads on their way together, as they come and whatever size is announced; nil means
	// no bound. A download for which there is no room fails with ErrNoSpace.
	Space Space
	// Logger hears of failures that no caller is told of. Nil drops them.
	Logger *slog.Logger
}

// Group holds the running downloads. It is safe for concurrent use.
type Group struct {
	opts Options
	log  *slog.Logger
	ctx  context.Context // ends with Close; the cause is ErrClosed
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	// sinkFails is set while the Sink takes nothing, so that this is said once.
	sinkFails atomic.Bool

	mu      sync.Mutex
	closed  bool
	flights map[Key]*flight
}

// New returns a Group without downloads. Close ends it.
func New(opts Options) *Group {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	return &Group{
		opts: opts, log: log, ctx: ctx, stop: stop, flights: make(map[Key]*flight),
	}
}

// Open joins the download of key, or starts one with fetch, and returns a reader at offset 0 once the source has answered;
// an error of fetch is returned as it is, wrapped. The reader works until it is closed or ctx ends. The end of ctx does not
// end the download.
func (g *Group) Open(ctx context.Context, key Key, fetch Fetch) (*Reader, error) {
	f, err := g.join(ctx, key, fetch)
	if err != nil {
		return nil, err
	}
	r := newReader(ctx, f)
	if err := f.awaitOpened(r.ctx); err != nil {
		_ = r.Close() // always nil
		return nil, err
	}
	return r, nil
}

// Wait joins the download of key, or starts one with fetch, and returns when the Sink has committed the blob. Unlike
// readers, which do without the Sink, it fails when the Sink does; but where the Sink failed before Wait was called and
// readers still hold the bytes, it offers them to the Sink once more. Where fetch reports ErrStored, Wait returns nil.
func (g *Group) Wait(ctx context.Context, key Key, fetch Fetch) error {
	f, err := g.join(ctx, key, fetch)
	if err != nil {
		return err
	}
	defer g.release(f)
	if f.unstored() {
		return f.storeAgain(ctx)
	}
	if err := f.awaitStored(ctx); err != nil && !errors.Is(err, ErrStored) {
		return err
	}
	return nil
}

// Close cancels the running downloads, makes every later Open and Wait fail with ErrClosed, and waits for the downloads to
// end or for ctx. Readers of complete blobs go on until they are closed.
func (g *Group) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.stop(ErrClosed)

	ended := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		g.dropIdle()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Progress is the state of one download.
type Progress struct {
	Key     Key
	Written int64 // bytes that have arrived
	Size    int64 // bytes in all, -1 while unknown
	Done    bool  // all have arrived and were verified; readers may still be at it
}

// Running returns the downloads that are on their way or still being read, in ascending order of their keys.
func (g *Group) Running() []Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Progress, 0, len(g.flights))
	for _, f := range g.flights {
		all = append(all, f.progress())
	}
	slices.SortFunc(all, func(a, b Progress) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return all
}

// Size returns the length in bytes of a blob that is on its way, if its source has told it.
func (g *Group) Size(key Key) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flights[key]
	if f == nil {
		return 0, false
	}
	n := f.progress().Size
	return n, n >= 0
}

// join returns the flight of key with one reference more, starting it if there is none.
func (g *Group) join(ctx context.Context, key Key, fetch Fetch) (*flight, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrClosed
	}
	if f := g.flights[key]; f != nil {
		f.refs++
		return f, nil
	}
	f := newFlight(g, key)
	f.refs = 2 // the caller's and the download's
	g.flights[key] = f
	// The values of ctx, such as a trace, stay; its end and its deadline are the caller's own.
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.cancel = cancel
	detach := context.AfterFunc(g.ctx, func() { cancel(ErrClosed) })
	g.wg.Go(func() {
		defer cancel(nil)
		defer detach()
		defer g.landed(f)
		f.run(run, fetch)
	})
	return f, nil
}

// landed gives the download's own reference back; that of a complete one that lingers, a while after its last reader left.
func (g *Group) landed(f *flight) {
	g.mu.Lock()
	f.cancel = nil
	if f.grace != nil {
		f.grace.Stop()
	}
	f.lingers = g.opts.Linger > 0 && g.flights[f.key] == f && f.complete()
	if f.lingers {
		f.grace = time.AfterFunc(g.opts.Linger, func() { g.drop(f) })
	}
	lingers := f.lingers
	g.mu.Unlock()
	if !lingers {
		g.release(f)
	}
}

// drop ends a flight that lingers, unless somebody reads it.
func (g *Group) drop(f *flight) (dropped bool) {
	g.mu.Lock()
	dropped = f.lingers && f.refs == 1
	if dropped {
		f.lingers, f.refs = false, 0
		f.grace.Stop()
		g.forgetLocked(f)
	}
	g.mu.Unlock()
	if dropped {
		f.spool.close()
	}
	return dropped
}

// dropIdle drops all that linger and that nobody reads, and reports whether there were any.
func (g *Group) dropIdle() (any bool) {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.flights))
	g.mu.Unlock()
	for _, f := range all {
		any = g.drop(f) || any
	}
	return any
}

// release gives a reference back. The last one closes the file and forgets the flight. With the last one but the download's
// own, that ends if it has not begun, and after a while if it has and is not worth finishing.
func (g *Group) release(f *flight) {
	if last := g.leave(f); last {
		f.spool.close()
	}
}

func (g *Group) leave(f *flight) (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.refs--
	switch {
	case f.refs == 0:
		g.forgetLocked(f)
	case f.refs == 1 && f.lingers:
		f.grace.Reset(g.opts.Linger)
	case f.refs > 1 || f.cancel == nil:
	case !f.begun():
		g.abandonLocked(f)
	case f.grace == nil:
		f.grace = time.AfterFunc(grace, func() { g.reconsider(f) })
	default:
		f.grace.Reset(grace)
	}
	return f.refs == 0
}

// reconsider ends a download that nobody has come back to.
func (g *Group) reconsider(f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.refs == 1 && f.cancel != nil && !f.worthFinishing() {
		g.abandonLocked(f)
	}
}

// abandonLocked ends a download that nobody waits for; the next Open of its key starts anew.
func (g *Group) abandonLocked(f *flight) {
	g.forgetLocked(f)
	f.cancel(errAbandoned)
}

// forget lets the next Open of the flight's key start anew. It reports whether anyone but the download refers to the flight.
func (g *Group) forget(f *flight) (watched bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgetLocked(f)
	return f.refs > 1
}

func (g *Group) forgetLocked(f *flight) {
	if g.flights[f.key] == f {
		delete(g.flights, f.key)
	}
}
