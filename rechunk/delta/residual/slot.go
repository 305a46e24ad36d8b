package residual

// A slot is how likely a bit is 1: a probability in 22 bits above a count in 10. The more it has counted, the slower it
// moves.
const (
	limit = 127     // of what a slot counts
	even  = 1 << 31 // 1 is as likely as 0, and nothing was counted
)

// rates are how far slots move, by what they have counted.
type rates [limit + 1]uint32

func (r *rates) start() {
	for n := range r {
		r[n] = uint32(65536 / (float64(n) + 1.6))
	}
}

// update moves a slot towards a bit.
func (r *rates) update(s *uint32, bit uint32) {
	n := *s & 1023
	p := int32(*s >> 10)
	p += int32((int64(int32(bit*(1<<22-1))-p) * int64(r[n&limit])) >> 16)
	if n < limit {
		n++
	}
	*s = uint32(p)<<10 | n
}

// clamp keeps a probability, of 65536, from being certain.
func clamp(p uint32) uint32 { return min(max(p, 16), 65536-16) }

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// sum is a hash of two numbers.
func sum(a, b uint32) uint32 {
	h := a*0x9e3779b1 ^ b*0x85ebca6b
	h ^= h >> 15
	return h * 0x2c1b3c6d
}
