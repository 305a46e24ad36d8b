package wrap

import "fmt"

// Limits bound what one file may cost. What is over them is left as it is: plain, for Parse; ErrLimit, for Decode.
type Limits struct {
	Depth  int   // of parts in parts
	Parts  int   // of a file, all levels together
	Plain  int64 // bytes of a file's decoded parts, all levels together; for Decode, of the one
	Window int64 // bytes of history that a decoder holds in memory
	Ratio  int64 // plain bytes for each wrapped one, beyond the first MiB
	Name   int   // bytes of a member's path
}

// DefaultLimits fit the initramfs of a desktop and a kernel with all its debugging symbols.
func DefaultLimits() Limits {
	return Limits{Depth: 5, Parts: 200_000, Plain: 4 << 30, Window: 128 << 20, Ratio: 1100, Name: 4096}
}

// most is what a stream of that many wrapped bytes may decode to.
func (l Limits) most(wrapped int64) int64 {
	most := int64(1 << 20)
	if wrapped > 0 && wrapped <= (1<<62)/max(1, l.Ratio) {
		most += wrapped * l.Ratio
	}
	return min(most, l.Plain)
}

// limited is an ErrLimit that says which.
func limited(what string, most int64) error {
	return fmt.Errorf("%w: %s of more than %d", ErrLimit, what, most)
}

// invalid is an ErrInvalid that says why.
func invalid(decoder, why string) error { return fmt.Errorf("%w: %s: %s", ErrInvalid, decoder, why) }
