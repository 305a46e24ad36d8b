package rechunk

import "context"

// toolbox lends what is dear to make, each to one at a time. It is safe for concurrent use.
type toolbox[T any] struct {
	make func() (*T, error)
	rest chan *T // nil for one that is not made yet
}

func newToolbox[T any](n int, made func() (*T, error)) *toolbox[T] {
	b := &toolbox[T]{make: made, rest: make(chan *T, n)}
	for range n {
		b.rest <- nil
	}
	return b
}

// lend waits until one is at rest, and has use work with it.
func (b *toolbox[T]) lend(ctx context.Context, use func(*T) error) error {
	var t *T
	select {
	case t = <-b.rest:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { b.rest <- t }()
	if t == nil {
		var err error
		if t, err = b.make(); err != nil {
			return err
		}
	}
	return use(t)
}

// clear ends all that were made; none may be lent.
func (b *toolbox[T]) clear(end func(*T)) {
	for range cap(b.rest) {
		if t := <-b.rest; t != nil {
			end(t)
		}
	}
}
