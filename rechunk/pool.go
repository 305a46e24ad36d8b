package rechunk

import "context"

// pool lends values that are expensive to make, each to one user at a time, and makes a bounded number of them when they are
// first needed. It is safe for concurrent use.
type pool[T any] struct {
	make func() (T, error)
	free chan pooled[T]
}

type pooled[T any] struct {
	value T
	made  bool
}

func newPool[T any](n int, made func() (T, error)) *pool[T] {
	p := &pool[T]{make: made, free: make(chan pooled[T], n)}
	for range n {
		p.free <- pooled[T]{}
	}
	return p
}

// use waits for a free value and calls do with it.
func (p *pool[T]) use(ctx context.Context, do func(T) error) error {
	var v pooled[T]
	select {
	case v = <-p.free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { p.free <- v }()
	if !v.made {
		var err error
		if v.value, err = p.make(); err != nil {
			return err
		}
		v.made = true
	}
	return do(v.value)
}

// close calls end with every value that was made; none may be in use.
func (p *pool[T]) close(end func(T)) {
	for range cap(p.free) {
		if v := <-p.free; v.made {
			end(v.value)
		}
	}
}
