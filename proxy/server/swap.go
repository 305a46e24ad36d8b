package server

import (
	"io"
	"sync"
)

// swap holds a part that a new configuration replaces. One that was replaced is closed when its last user has left.
type swap[T io.Closer] struct {
	mu      sync.Mutex
	current *swapped[T]
}

type swapped[T io.Closer] struct {
	part     T
	users    int
	replaced bool
}

func newSwap[T io.Closer](part T) *swap[T] { return &swap[T]{current: &swapped[T]{part: part}} }

// use returns the part in use, until done is called.
func (s *swap[T]) use() (part T, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.current
	one.users++
	return one.part, func() {
		s.mu.Lock()
		one.users--
		last := one.replaced && one.users == 0
		s.mu.Unlock()
		if last {
			_ = one.part.Close() // what it leaves behind, the next start removes
		}
	}
}

// replace makes part the one in use.
func (s *swap[T]) replace(part T) {
	_, done := s.use()
	s.mu.Lock()
	s.current.replaced = true
	s.current = &swapped[T]{part: part}
	s.mu.Unlock()
	done()
}

// Close closes the part in use.
func (s *swap[T]) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.part.Close()
}
