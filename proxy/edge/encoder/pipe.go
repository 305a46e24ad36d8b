package encoder

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// input is what a program reads: never a file itself, which it could find the name of. An error of reading ends the program.
type input struct {
	r       io.Reader
	stop    context.CancelCauseFunc
	n       atomic.Int64
	waiting atomic.Bool // for r: the program has what there is
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	i.waiting.Store(true)
	n, err := i.r.Read(p)
	i.n.Add(int64(n))
	i.waiting.Store(false)
	if err != nil && !errors.Is(err, io.EOF) {
		i.stop(err)
	}
	return n, err
}

// output passes on what a program writes, and ends it when that can't come of what it was given, or nobody takes it.
type output struct {
	w       io.Writer
	in      *input
	stop    context.CancelCauseFunc
	n       atomic.Int64
	waiting atomic.Bool // for w: the program can't go on
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := 0, error(nil)
	if wrote, read := o.n.Add(int64(len(p))), o.in.n.Load(); wrote > read+read/8+1<<20 {
		err = wrap.ErrLimit
	} else {
		o.waiting.Store(true)
		n, err = o.w.Write(p)
		o.waiting.Store(false)
	}
	if err != nil {
		o.stop(err)
	}
	return n, err
}

// head keeps the first bytes that are written to it.
type head struct {
	bytes []byte
	most  int
}

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	h.bytes = append(h.bytes, p[:min(len(p), h.most-len(h.bytes))]...)
	return len(p), nil
}
