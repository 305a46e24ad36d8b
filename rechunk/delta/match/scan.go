package match

import "context"

// block is a run of new that comes from old, with differences; what lies between two blocks is new.
type block struct {
	new, old, length int
}

// scanner finds blocks as bsdiff does: a match begins a new block only where it is better by some bytes than going on in the
// block before, and blocks are extended both ways over bytes that differ as long as most do not.
type scanner struct {
	x   *index
	new []byte
	out func(block) error

	last    block // the one that is not yet written; its length is the exact match that it began with
	pending bool
}

const (
	least  = 12 // bytes of a match that begins a block
	better = 8  // by how many bytes another match must be better
	steady = 24 // an exact run of so many bytes in the block before needs no other
)

func (s *scanner) scan(ctx context.Context) error {
	misses := 0 // positions since something matched
	checked := 0
	for p := 0; p < len(s.new); {
		if p-checked > 1<<20 {
			if err := ctx.Err(); err != nil {
				return err
			}
			checked = p
		}
		run := s.aligned(p)
		if run >= steady {
			p += run
			misses = 0
			continue
		}
		at, n := s.x.find(s.new[p:], p+s.offset())
		if n >= short && at == p+s.offset() && s.pending {
			p += n
			continue
		}
		if n < least || n <= s.score(p, n)+better {
			p += 1 + min(misses>>6, 15)
			misses++
			continue
		}
		if err := s.begin(p, at, n); err != nil {
			return err
		}
		p += n
		misses = 0
	}
	return s.finish()
}

// offset is what leads from a position in new to the one in old, by the last block.
func (s *scanner) offset() int { return s.last.old - s.last.new }

// aligned is how many bytes from p on are those of old, by the last block's offset.
func (s *scanner) aligned(p int) int {
	q := p + s.offset()
	if !s.pending || q < 0 || q >= len(s.x.old) {
		return 0
	}
	return common(s.new[p:], s.x.old[q:])
}

// score is how many of the n bytes from p on are those of old, by the last block's offset.
func (s *scanner) score(p, n int) int {
	if !s.pending {
		return 0
	}
	score := 0
	off := s.offset()
	for i := max(p, -off); i < p+n && i+off < len(s.x.old); i++ {
		if s.new[i] == s.x.old[i+off] {
			score++
		}
	}
	return score
}

// begin starts a block with a match of n bytes at p, and writes the one before.
func (s *scanner) begin(p, at, n int) error {
	back := s.backward(p, at)
	fwd := 0
	if s.pending {
		fwd = s.forward(p)
		if end := s.last.new + fwd; end > p-back {
			cut := s.divide(p-back, end, at-p)
			fwd = cut - s.last.new
			back = p - cut
		}
		if err := s.write(fwd); err != nil {
			return err
		}
	}
	s.last = block{new: p - back, old: at - back, length: n + back}
	s.pending = true
	return nil
}

// backward is how far a match at p may be extended to the front.
func (s *scanner) backward(p, at int) int {
	best, most, score := 0, 0, 0
	for i := 1; p-i >= s.last.new && at-i >= 0; i++ {
		if s.new[p-i] == s.x.old[at-i] {
			score++
		}
		if 2*score-i > most {
			best, most = i, 2*score-i
		}
		if i-2*score > patience {
			break
		}
	}
	return best
}

// patience is how many bytes more that differ than are equal end the search for more equal ones.
const patience = 256

// forward is the length of the last block, extended up to the position end of new.
func (s *scanner) forward(end int) int {
	best, most, score := s.last.length, s.last.length, s.last.length
	if s.last.new+s.last.length > end {
		return end - s.last.new
	}
	for i := s.last.length; s.last.new+i < end && s.last.old+i < len(s.x.old); {
		if s.new[s.last.new+i] == s.x.old[s.last.old+i] {
			score++
		}
		i++
		if 2*score-i >= most {
			best, most = i, 2*score-i
		}
	}
	return best
}

// divide returns where between two positions of new, that both the last block and the next one with offset next cover, the
// one should end and the other begin.
func (s *scanner) divide(from, to, next int) int {
	off := s.offset()
	cut, score, most := from, 0, 0
	for i := from; i < to; i++ {
		if s.new[i] == s.x.old[i+off] {
			score++
		}
		if s.new[i] == s.x.old[i+next] {
			score--
		}
		if score > most {
			cut, most = i+1, score
		}
	}
	return cut
}

// write writes the last block with a length.
func (s *scanner) write(length int) error {
	if length <= 0 {
		return nil
	}
	return s.out(block{new: s.last.new, old: s.last.old, length: length})
}

func (s *scanner) finish() error {
	if !s.pending {
		return nil
	}
	return s.write(s.forward(len(s.new)))
}
