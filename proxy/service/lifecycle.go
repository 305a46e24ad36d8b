package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// errClosed is the cause with which the work of a closed service ends.
var errClosed = errors.New("the proxy is shutting down")

// Stop stops jobs, which leave nothing half, and starts no more. Answers that are under way go on.
func (s *Service) Stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop(errClosed)
}

// Close stops jobs and downloads and waits for them until ctx ends. It may be called more than once.
func (s *Service) Close(ctx context.Context) error {
	s.Stop()
	err := s.flights.Close(ctx)
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

// begin enters work that Close waits for, to be left with s.wg.Done. It reports false when the service is closed.
func (s *Service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Add(1)
	return true
}

// background runs work that belongs to the service and that may come to rely on stored content, which stays until its end; it reports
// false when the service is closed.
func (s *Service) background(work func(ctx context.Context)) bool {
	ended := s.activity.begin(s.Now())
	begun := s.beside(func(ctx context.Context) {
		defer ended()
		work(ctx)
	})
	if !begun {
		ended()
	}
	return begun
}

// beside is background for work that relies on no content, and so may go on as long as the service.
func (s *Service) beside(work func(ctx context.Context)) bool {
	if !s.begin() {
		return false
	}
	go func() {
		defer s.wg.Done()
		work(s.ctx)
	}()
	return true
}

// activity knows the updates and jobs that are under way: they may rely on content that no record leads to yet. The zero value is
// ready.
type activity struct {
	mu      sync.Mutex
	running map[int64]time.Time
	begun   int64
}

func (a *activity) begin(now time.Time) (ended func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		a.running = map[int64]time.Time{}
	}
	a.begun++
	id := a.begun
	a.running[id] = now
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, id)
	}
}

// Activity returns when the oldest update or job that is under way began, the zero time for none, and how many were begun so far.
func (s *Service) Activity() (oldest time.Time, begun int64) {
	a := &s.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.running {
		if oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	return oldest, a.begun
}

// shared runs work once for all who ask for the same key at the same time. It goes on when they leave.
func shared[T any](ctx context.Context, s *Service, g *singleflight.Group, key string, work func(context.Context) (T, error)) (T, error) {
	result := g.DoChan(key, func() (any, error) {
		if !s.begin() {
			return nil, errClosed
		}
		defer s.wg.Done()
		v, err := work(s.ctx)
		return v, s.closedError(err)
	})
	var none T
	select {
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// closedError names the cause of an error that work of the service met after its end.
func (s *Service) closedError(err error) error {
	if err == nil || s.ctx.Err() == nil || errors.Is(err, errClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", errClosed, err)
}
