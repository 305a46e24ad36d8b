package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// use is an image's files in the hands of who makes a layer of them.
type use struct {
	store  *Store
	image  *image
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
	once   sync.Once

	mu   sync.Mutex
	done map[int]error // layers that have all of the wanted files or were read, and why not to their end
}

var errFound = errors.New("all files were found")

// Close implements io.Closer.
func (u *use) Close() error {
	u.once.Do(func() {
		u.cancel(ErrClosed)
		u.work.Wait()
		u.store.release(u.image)
	})
	return nil
}

// Open implements delta.Contents. It waits until the file came by.
func (u *use) Open(ctx context.Context, f delta.File) (delta.Content, error) {
	for {
		changed := u.image.next()
		u.mu.Lock()
		err, over := u.done[f.Layer]
		u.mu.Unlock()
		section, missed := u.image.spool.Section(f.Digest)
		switch {
		case missed == nil && section.Size() == f.Size:
			return content{section}, nil
		case missed == nil:
			return nil, missing(f, fmt.Sprintf("it has %d bytes", section.Size()))
		case over && err != nil:
			return nil, fmt.Errorf("%s: its layer could not be read: %w", f.Path, err)
		case over || f.Layer < 0 || f.Layer >= len(u.image.layers):
			return nil, missing(f, "its layer does not hold it")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// content is a file in the spool.
type content struct{ *io.SectionReader }

// Close implements io.Closer.
func (content) Close() error { return nil }

// search reads the layers that hold files which are not there yet.
func (u *use) search(ctx context.Context, files []delta.File) {
	in := make([][]delta.File, len(u.image.layers))
	for _, f := range files {
		if f.Layer >= 0 && f.Layer < len(in) {
			in[f.Layer] = append(in[f.Layer], f)
		}
	}
	var g errgroup.Group
	g.SetLimit(scansAtOnce)
	for n := range in {
		g.Go(func() error {
			err := u.read(ctx, n, in[n])
			u.mu.Lock()
			u.done[n] = err
			u.mu.Unlock()
			u.image.change()
			return nil
		})
	}
	_ = g.Wait() // nothing fails as a whole
}

// read reads a layer as far as it takes to find files of it.
func (u *use) read(ctx context.Context, n int, files []delta.File) error {
	if len(files) == 0 {
		return nil
	}
	l := u.image.layers[n]
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w := newWanted(files, u.image.spool)
	if w.all() {
		return nil
	}
	blob, err := u.store.Layers.Open(ctx, l.digest)
	if err != nil {
		return fmt.Errorf("layer %s: %w: %w", l.digest, ErrUnreadable, err)
	}
	defer blob.Close()
	in := &failing{r: blob}
	reading, found := context.WithCancelCause(ctx)
	defer found(nil)
	_, err = scan.Layer(reading, in, scan.Options{
		Spool: u.image.spool, Want: w.wants,
		Kept: func(d tree.Digest) {
			if w.found(d) {
				found(errFound)
			}
			u.image.change()
		},
	})
	switch {
	case err == nil || w.all():
		return nil
	case in.err != nil && !errors.Is(in.err, verify.ErrMismatch), noRoom(err):
		return fmt.Errorf("layer %s: %w: %w", l.digest, ErrUnreadable, err)
	}
	return fmt.Errorf("layer %s: %w: %w", l.digest, delta.ErrSource, err)
}

// noRoom reports whether an error says that there was no place for a seed's files, which says nothing of the files.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, scan.ErrSpoolFull) ||
		errors.Is(err, workspace.ErrUsedUp)
}

// failing remembers why its reader failed.
type failing struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// wanted are the files of a layer that are looked for: by their paths, and by their sizes, as a file may have a second name.
type wanted struct {
	paths map[string]bool
	sizes map[int64]bool
	left  map[tree.Digest]bool
}

func newWanted(files []delta.File, spool *scan.Spool) *wanted {
	w := &wanted{map[string]bool{}, map[int64]bool{}, map[tree.Digest]bool{}}
	for _, f := range files {
		if !spool.Has(f.Digest) {
			w.paths[f.Path], w.sizes[f.Size], w.left[f.Digest] = true, true, true
		}
	}
	return w
}

// wants reports whether a file may be one of them. Of small ones many have the same size, and second names are rare.
func (w *wanted) wants(path string, size int64) bool {
	return w.paths[path] || size >= largeFile && w.sizes[size]
}

const largeFile = 4 << 10

// found notes that a file is there, and reports whether it was the last one.
func (w *wanted) found(d tree.Digest) bool {
	delete(w.left, d)
	return w.all()
}

func (w *wanted) all() bool { return len(w.left) == 0 }
