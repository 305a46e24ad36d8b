package background

import (
	"context"

	"golang.org/x/sync/singleflight"
)

// Shared does a thing once for all who ask for the same key at the same time. It is safe for concurrent use.
type Shared[T any] struct {
	group   *Group
	where   string
	running singleflight.Group
}

// NewShared returns things that the group does; where names them when one panics.
func NewShared[T any](g *Group, where string) *Shared[T] { return &Shared[T]{group: g, where: where} }

// Do joins the work under way for a key, or begins it with a context that ends with the group, so that it goes on when those
// who wait leave, and has the values of ctx. It returns when the work or ctx ends.
func (s *Shared[T]) Do(ctx context.Context, key string, work func(context.Context) (T, error)) (T, error) {
	result := s.running.DoChan(key, func() (any, error) {
		var v T
		done, ok := s.group.Begin()
		if !ok {
			return v, ErrClosed
		}
		defer done()
		running, cancel := s.group.Bind(context.WithoutCancel(ctx))
		defer cancel()
		err := s.group.Catch(running, s.where, func() (err error) {
			v, err = work(running)
			return err
		})
		return v, s.group.Explain(err)
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
