package layer

import (
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// trialFrom is the size of files from which on a layer is tried: of smaller ones, a trial is too large a part.
	trialFrom = 32 << 20
	// trialBytes of the tar stream are compressed both ways: enough to hold several programs, whose likeness is what the higher level
	// finds best.
	trialBytes = 4 << 20
	// trialGain, in percent, is what the higher level must save on them. It takes four times as long.
	trialGain = 5
)

// level chooses the compressor of a layer: the higher level, but for a large layer on whose beginning it gains little. Like the bytes
// that come of it, the choice depends on nothing but the layer.
func (w *Writer) level() (compressor, error) {
	if w.c != Zstd || w.untried || w.size() < trialFrom {
		return w.z, nil
	}
	if w.quick == nil {
		var err error
		if w.quick, err = quick(io.Discard); err != nil {
			return nil, err
		}
	}
	var high, low counter
	high.w, low.w = io.Discard, io.Discard
	w.z.Reset(&high)
	w.quick.Reset(&low)
	err := w.stream(&head{io.MultiWriter(w.z, w.quick), trialBytes})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err = errors.Join(err, w.z.Close(), w.quick.Close()); err != nil {
		return nil, err
	}
	if 100*high.n > (100-trialGain)*low.n {
		return w.quick, nil
	}
	return w.z, nil
}

// size is that of the layer's files.
func (w *Writer) size() int64 {
	var sum int64
	for _, k := range w.entries {
		e := &w.tree.Entries[k]
		if e.Kind == tree.Regular && (e.Link == "" || e.Link == e.Path) {
			sum += e.Size
		}
	}
	return sum
}

// errEnough ends a stream of which the rest is not wanted.
var errEnough = errors.New("enough")

// head passes on the first bytes of a stream and then fails with errEnough.
type head struct {
	w    io.Writer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	if h.left < len(p) {
		n, err := h.w.Write(p[:h.left])
		if h.left -= n; err == nil {
			err = errEnough
		}
		return n, err
	}
	n, err := h.w.Write(p)
	h.left -= n
	return n, err
}
