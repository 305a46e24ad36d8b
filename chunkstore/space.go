package chunkstore

import "fmt"

// Space bounds how much content a store takes. It is safe for concurrent use, and neither method blocks.
type Space interface {
	// Room is how many bytes more may be stored.
	Room() int64
	// Grew tells that the content grew by n bytes; it shrank where n is negative. Content that is being written counts.
	Grew(n int64)
}

// admit refuses n more bytes of content when there is no room for them. Records are always taken: they are small, and
// without them nothing could be removed in good order.
func (s *Store) admit(op string, n int64) error {
	if s.space == nil {
		return nil
	}
	if room := s.space.Room(); n > room {
		return reject(op, ErrNoSpace, fmt.Sprintf("%d bytes more are wanted, quota and free space leave room for %d", n,
			max(room, 0)))
	}
	return nil
}

// Admit returns an error that wraps ErrNoSpace when there is no room for n bytes more of content, for whoever knows before
// the first byte how much will come.
func (s *Store) Admit(n int64) error { return s.admit("store its content", n) }

func (s *Store) grew(n int64) {
	if s.space != nil && n != 0 {
		s.space.Grew(n)
	}
}
