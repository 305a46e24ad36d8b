package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// errPanic says that a call ended in a panic.
var errPanic = errors.New("panic")

// shared lets concurrent callers share one call. The call goes on while anybody waits for it and is cancelled when nobody
// does.
type shared[T any] struct {
	panicked func(value any, stack []byte) // is told of a panic in a call

	mu   sync.Mutex
	call *call[T]
}

type call[T any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	value   T
	err     error
}

// do returns the result of fn, called now or by somebody who came before. led reports that it was called for us.
func (s *shared[T]) do(ctx context.Context, fn func(context.Context) (T, error)) (value T, led bool, err error) {
	s.mu.Lock()
	c := s.call
	if c == nil {
		led = true
		c = &call[T]{done: make(chan struct{})}
		s.call = c
		var running context.Context
		running, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go s.run(running, c, fn)
	}
	c.waiters++
	s.mu.Unlock()

	select {
	case <-c.done:
		return c.value, led, c.err
	case <-ctx.Done():
		s.leave(c)
		return value, led, ctx.Err()
	}
}

// run calls fn. Nobody above would catch a panic of it, which costs the callers their result and nothing more.
func (s *shared[T]) run(ctx context.Context, c *call[T], fn func(context.Context) (T, error)) {
	defer c.cancel()
	func() {
		defer func() {
			if p := recover(); p != nil {
				c.err = fmt.Errorf("%w: %v", errPanic, p)
				s.panicked(p, debug.Stack())
			}
		}()
		c.value, c.err = fn(ctx)
	}()
	s.mu.Lock()
	if s.call == c {
		s.call = nil
	}
	s.mu.Unlock()
	close(c.done)
}

// leave takes a waiter away who gave up.
func (s *shared[T]) leave(c *call[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.waiters--; c.waiters > 0 {
		return
	}
	c.cancel()
	if s.call == c {
		s.call = nil
	}
}
