package encoder

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// input is what a program reads: never a file itself, which it could find the name of. An error of reading ends the program,
// and is kept.
type input struct {
	r    io.Reader
	stop func()
	n    atomic.Int64
	err  atomic.Pointer[error]
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	i.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		i.err.Store(&err)
		i.stop()
	}
	return n, err
}

func (i *input) failed() error { return load(&i.err) }

// output passes on what a program writes, and ends it when that can't come of what it was given, or nobody takes it.
type output struct {
	w    io.Writer
	in   *input
	stop func()
	n    int64
	err  atomic.Pointer[error]
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.n += int64(len(p))
	n, err := 0, error(nil)
	if read := o.in.n.Load(); o.n > read+read/8+1<<20 {
		err = wrap.ErrLimit
	} else {
		n, err = o.w.Write(p)
	}
	if err != nil {
		o.err.Store(&err)
		o.stop()
	}
	return n, err
}

func (o *output) failed() error { return load(&o.err) }

func load(p *atomic.Pointer[error]) error {
	if err := p.Load(); err != nil {
		return *err
	}
	return nil
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
