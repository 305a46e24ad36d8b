package rootfs

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Open opens the regular file that a path leads to and returns it with its size in bytes. An error wraps fs.ErrNotExist when
// there is no such file, ErrTooLarge when it has more than limit bytes, and is about the contents otherwise.
func (v *View) Open(p string, limit int64) (io.ReadCloser, int64, error) {
	e := v.Entry(p)
	if v.err != nil {
		return nil, 0, v.err
	}
	if e == nil || e.Kind != tree.Regular {
		return nil, 0, fmt.Errorf("%q: %w", p, fs.ErrNotExist)
	}
	if e.Size > limit {
		return nil, 0, fmt.Errorf("%q: %w: %d bytes, at most %d are read", p, ErrTooLarge, e.Size, limit)
	}
	r, err := v.contents.Open(e.Digest)
	if err != nil {
		return nil, 0, fmt.Errorf("open %q: %w", p, err)
	}
	return r, e.Size, nil
}

// Text opens a file as Open does, for reading it from its start. What is read of all files counts against MaxText; past it
// reads fail with an error that wraps installed.ErrBudget, as they do with ctx's when that has ended.
func (v *View) Text(ctx context.Context, p string, limit int64) (io.ReadCloser, error) {
	r, _, err := v.Open(p, limit)
	if err != nil {
		return nil, err
	}
	return &text{ReadCloser: r, ended: ctx.Err, view: v, path: p}, nil
}

// ReadFile returns the bytes of the regular file that a path leads to, with the errors of Text.
func (v *View) ReadFile(ctx context.Context, p string, limit int64) ([]byte, error) {
	r, err := v.Text(ctx, p, limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// text counts what is read.
type text struct {
	io.ReadCloser
	ended func() error // the error of the context that it was opened with
	view  *View
	path  string
}

// Read implements io.Reader.
func (t *text) Read(p []byte) (int, error) {
	if err := t.ended(); err != nil {
		return 0, err
	}
	if t.view.err != nil {
		return 0, t.view.err
	}
	n, err := t.ReadCloser.Read(p)
	if t.view.text += int64(n); t.view.text > MaxText {
		t.view.err = fmt.Errorf("%w: their files have more than %d bytes of text", installed.ErrBudget, int64(MaxText))
		return 0, t.view.err
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read %q: %w", t.path, err)
	}
	return n, err
}
