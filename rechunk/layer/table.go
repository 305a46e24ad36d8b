package layer

import (
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
)

// table is the table of contents of a blob that is read as a stream. A nil one is none.
type table struct {
	place toc.Place
	raw   []byte
}

// newTable returns the table that a blob's annotations tell of.
func newTable(b Blob) (*table, error) {
	if !toc.Told(b.Annotations) {
		return nil, nil
	}
	p, err := toc.Find(b.Annotations)
	if err == nil && (p.TooLong() || p.Table.Offset+p.Table.Size > b.Size) {
		err = fmt.Errorf("%w: it is longer than clients take, or than its layer", toc.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return &table{place: p}, nil
}

// tee returns a reader of the blob r that keeps the table when it comes by.
func (t *table) tee(r io.Reader) io.Reader {
	if t == nil {
		return r
	}
	return io.TeeReader(r, &window{t: t})
}

// window is written a blob and keeps the table of it.
type window struct {
	t  *table
	at int64
}

func (w *window) Write(p []byte) (int, error) {
	span := w.t.place.Table
	from, to := max(span.Offset-w.at, 0), min(span.Offset+span.Size-w.at, int64(len(p)))
	if from < to {
		w.t.raw = append(w.t.raw, p[from:to]...)
	}
	w.at += int64(len(p))
	return len(p), nil
}

// check compares the table, after the blob was read, with what its tar stream holds.
func (t *table) check(x *tree.Index) error {
	if t == nil {
		return nil
	}
	if err := toc.Check(t.raw, t.place, x); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return nil
}
