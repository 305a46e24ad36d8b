// Package background runs work that belongs to no client: what several wait for, and what goes on when all of them have
// left. A panic in it costs that work and nothing else.
package background

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/strata-oci/strata/rechunk/rescue"
)

// ErrClosed is the cause with which the work of a closed group ends.
var ErrClosed = errors.New("the proxy is shutting down")

// Options are what a Group is made of; all may be left out.
type Options struct {
	Logger *slog.Logger
	// Panicked is told where a panic was caught.
	Panicked func(where string)
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// Group is the work of one proxy. It is safe for concurrent use.
type Group struct {
	Options

	ctx  context.Context //nolint:containedctx // the group's own: its work outlives whoever asked for it, and ends with Stop
	stop context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	running int
	idle    chan struct{} // closed when the group is closed and nothing runs
	relying map[int64]time.Time
	begun   int64
}

// New returns a group without work. Close ends it.
func New(o Options) *Group {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Panicked == nil {
		o.Panicked = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancelCause(context.Background())
	return &Group{Options: o, ctx: ctx, stop: stop, idle: make(chan struct{}), relying: map[int64]time.Time{}}
}

// Stop cancels all work with ErrClosed and lets none begin.
func (g *Group) Stop() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		g.settle()
	}
	g.mu.Unlock()
	g.stop(ErrClosed)
}

// Close is Stop, and waits for the end of all work or of ctx. It may be called more than once.
func (g *Group) Close(ctx context.Context) error {
	g.Stop()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle tells who waits that nothing runs any more; the caller holds g.mu.
func (g *Group) settle() {
	if g.closed && g.running == 0 {
		close(g.idle)
	}
}

// Begin enters work that Close waits for until done is called, once. It reports false after Stop.
func (g *Group) Begin() (done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, false
	}
	g.running++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		g.settle()
	}, true
}

// Go runs work in a goroutine, with a context that ends with the group. It reports false, and runs nothing, after Stop.
func (g *Group) Go(where string, work func(ctx context.Context)) bool {
	done, ok := g.Begin()
	if !ok {
		return false
	}
	go func() {
		defer done()
		_ = g.Catch(g.ctx, where, func() error { work(g.ctx); return nil })
	}()
	return true
}

// GoRelying is Go for work that may come to rely on stored content that no record leads to yet; Activity tells of it. The
// values of ctx, which is that of who asked for it, stay; its end does not count.
func (g *Group) GoRelying(ctx context.Context, where string, work func(ctx context.Context)) bool {
	ended := g.rely()
	begun := g.Go(where, func(context.Context) {
		defer ended()
		running, cancel := g.Bind(context.WithoutCancel(ctx))
		defer cancel()
		work(running)
	})
	if !begun {
		ended()
	}
	return begun
}

func (g *Group) rely() (ended func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun++
	id := g.begun
	g.relying[id] = g.Now()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.relying, id)
	}
}

// Activity returns when the oldest work began that relies on stored content, the zero time for none, and how much was
// begun so far.
func (g *Group) Activity() (oldest time.Time, begun int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.relying {
		if oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	return oldest, g.begun
}

// Bind returns a context that ends with ctx, and with the group.
func (g *Group) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(g.ctx, func() { cancel(ErrClosed) })
	return bound, func() {
		detach()
		cancel(context.Canceled)
	}
}

// Done is closed when the group's work is to end.
func (g *Group) Done() <-chan struct{} { return g.ctx.Done() }

// Explain names the cause of an error that work met because the group was stopped.
func (g *Group) Explain(err error) error {
	if err == nil || g.ctx.Err() == nil || errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

// PanicError is what became of work that panicked.
type PanicError struct {
	Where string
	Value any
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.Where, e.Value) }

// Catch runs work in this goroutine. A panic becomes a *PanicError; it is logged with its stack and counted, and so is
// one that was caught in a goroutine of the work and is in its error.
func (g *Group) Catch(ctx context.Context, where string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{where, p}
			g.panicked(ctx, where, p, debug.Stack())
		}
	}()
	err = work()
	var told *PanicError
	if p := (*rescue.PanicError)(nil); errors.As(err, &p) && !errors.As(err, &told) {
		g.panicked(ctx, where, p.Value, p.Stack)
		return &PanicError{where, err}
	}
	return err
}

// panicked counts and logs a panic.
func (g *Group) panicked(ctx context.Context, where string, value any, stack []byte) {
	g.Panicked(where)
	g.Logger.ErrorContext(ctx, "panic", "where", where, "panic", fmt.Sprint(value), "stack", string(stack))
}
