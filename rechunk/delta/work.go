package delta

import (
	"fmt"
	"slices"
)

// work is what a delta has a reader do. It is held to limits, and to what comes of it: a small delta is little work. Make
// holds what it writes to the same.
type work struct {
	lim       Limits
	tar       int64 // bytes of the tar stream
	sources   int
	ops       int64 // bytes of operations
	parts     int   // that were begun
	plain     int64 // and their plain bytes
	made      int64 // bytes that operations made, at any level, and the wrapped ones of parts
	unwrapped int64 // bytes that decoders gave
	decoded   int64 // and those that they read
	opened    int   // files of the seed, each time
}

// The work that costs nothing, and how much more goes with what comes of it (docs/delta-format.md).
const (
	opsMost     = 64 << 20 // bytes of operations
	decodedMost = 1 << 30  // bytes that decoders read and give
	perPlain    = 64       // such bytes for each one that is made
	openedMost  = 1000     // files that are opened
	perOpened   = 64       // bytes that are made for each one more
	maxOpen     = 64       // files that are kept open
)

func newWork(h *Header, lim Limits) work {
	return work{lim: lim, tar: h.TarSize, sources: len(h.Sources)}
}

// batch counts the operations of a batch.
func (w *work) batch(n int) error {
	if w.ops += int64(n); w.ops > w.tar+w.plain+opsMost {
		return fmt.Errorf("%w: %d bytes of operations", ErrLimit, w.ops)
	}
	return nil
}

// begin counts a part that is begun, so many levels deep.
func (w *work) begin(b begun, depth int) error {
	if b.size > w.lim.Part || b.wrapped > w.lim.Part || depth > w.lim.Depth {
		return fmt.Errorf("%w: a part of %d bytes, %d deep", ErrLimit, max(b.size, b.wrapped), depth)
	}
	w.parts++
	if w.plain += b.size; w.plain > w.lim.Unwrapped || w.parts > w.lim.Parts {
		return fmt.Errorf("%w: %d parts of %d bytes in all", ErrLimit, w.parts, w.plain)
	}
	return nil
}

// unwrap counts a part of a source.
func (w *work) unwrap(length, size int64) error {
	if size > w.lim.Part || length > w.lim.Part {
		return fmt.Errorf("%w: a part of %d bytes", ErrLimit, max(length, size))
	}
	w.unwrapped, w.decoded = w.unwrapped+size, w.decoded+length
	if w.unwrapped > w.lim.Unwrapped || w.unwrapped+w.decoded > decodedMost+perPlain*(w.tar+w.plain) {
		return fmt.Errorf("%w: parts of %d bytes in all, unwrapped of %d", ErrLimit, w.unwrapped, w.decoded)
	}
	return nil
}

// open counts a file of the seed that is opened.
func (w *work) open() error {
	if w.opened++; int64(w.opened) > openedMost+int64(w.sources)+w.made/perOpened {
		return fmt.Errorf("%w: files of the seed are opened %d times", ErrLimit, w.opened)
	}
	return nil
}

// recent are the files of the seed that were read last, the last one first.
type recent []int

// touch takes note of a file that is read. It says whether it is not among those of before, and which is not any longer: -1
// for none.
func (r *recent) touch(n int) (fresh bool, gone int) {
	list, gone := *r, -1
	at := slices.Index(list, n)
	if fresh = at < 0; fresh {
		if len(list) == maxOpen {
			gone, list = list[maxOpen-1], list[:maxOpen-1]
		}
		at = len(list)
		list = append(list, n)
	}
	copy(list[1:at+1], list[:at])
	list[0] = n
	*r = list
	return fresh, gone
}
