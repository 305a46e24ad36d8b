package chunkstore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/private"
)

// privateFiles is a filesystem driver whose directories and files are its user's alone. The driver itself makes them for
// everybody whom the umask lets, and writes through links.
//
// Once a store is open it does nothing where that store is not: it makes no other in its place.
type privateFiles struct {
	storagedriver.StorageDriver
	root string
	here presence
}

// newPrivateFiles decorates the driver of a directory.
func newPrivateFiles(driver storagedriver.StorageDriver, root string) *privateFiles {
	return &privateFiles{StorageDriver: driver, root: root, here: presence{
		marker: filepath.Join(root, filepath.FromSlash(formatPath)), log: slog.New(slog.DiscardHandler),
	}}
}

// prepare makes the directory, or refuses one that others can change.
func (p *privateFiles) prepare() error {
	p.here.leave()
	if err := private.Directory(p.root); err != nil {
		return err
	}
	return private.Tree(filepath.Join(p.root, filepath.FromSlash(rootDir)))
}

// answer tells what a look at the files means: what is not found where there is no store was not looked for.
func (p *privateFiles) answer(err error) error {
	if err == nil {
		return nil
	}
	if anyCause(causes(err), isNotFound) {
		if away := p.here.check(); away != nil {
			return away
		}
	}
	return fileError(err)
}

// Reader finds the store first.
func (p *privateFiles) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if err := p.here.check(); err != nil {
		return nil, err
	}
	rc, err := p.StorageDriver.Reader(ctx, path, offset)
	return rc, p.answer(err)
}

// GetContent finds the store first.
func (p *privateFiles) GetContent(ctx context.Context, path string) ([]byte, error) {
	if err := p.here.check(); err != nil {
		return nil, err
	}
	b, err := p.StorageDriver.GetContent(ctx, path)
	return b, p.answer(err)
}

// Stat finds the store first.
func (p *privateFiles) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if err := p.here.check(); err != nil {
		return nil, err
	}
	fi, err := p.StorageDriver.Stat(ctx, path)
	return fi, p.answer(err)
}

// List finds the store first, and after: what went away meanwhile left the list short.
func (p *privateFiles) List(ctx context.Context, path string) ([]string, error) {
	if err := p.here.check(); err != nil {
		return nil, err
	}
	found, err := p.StorageDriver.List(ctx, path)
	if err == nil {
		err = p.here.check()
	}
	return found, p.answer(err)
}

// Walk finds the store first, and after, as List does.
func (p *privateFiles) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	if err := p.here.check(); err != nil {
		return err
	}
	err := p.StorageDriver.Walk(ctx, path, fn, options...)
	if away := p.here.check(); away != nil {
		return away
	}
	return fileError(err)
}

// Delete finds the store first. Who deletes the store itself has no store any more.
func (p *privateFiles) Delete(ctx context.Context, path string) error {
	if err := p.here.check(); err != nil {
		return err
	}
	if path == formatPath || path == rootDir {
		p.here.leave()
	}
	return p.answer(p.StorageDriver.Delete(ctx, path))
}

// PutContent finds the store first.
func (p *privateFiles) PutContent(ctx context.Context, path string, b []byte) error {
	if err := p.directoryOf(path); err != nil {
		return err
	}
	return p.answer(p.StorageDriver.PutContent(ctx, path, b))
}

// directoryOf makes the directory of a path in the store, but never the store's own: where that is missing, the store is.
func (p *privateFiles) directoryOf(path string) error {
	if err := p.here.check(); err != nil {
		return err
	}
	dir := filepath.Dir(filepath.Join(p.root, filepath.FromSlash(path)))
	if !p.here.opened() {
		return os.MkdirAll(dir, private.DirMode)
	}
	return p.answer(mkdirBelow(filepath.Join(p.root, filepath.FromSlash(rootDir)), dir))
}

// mkdirBelow makes a directory with those above it that are missing, down from top, which it does not make.
func mkdirBelow(top, dir string) error {
	err := os.Mkdir(dir, private.DirMode)
	if errors.Is(err, fs.ErrNotExist) && len(dir) > len(top) {
		if err = mkdirBelow(top, filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, private.DirMode)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return storagedriver.PathNotFoundError{Path: dir}
	}
	return err
}

// Writer makes the file before the driver does, or, where it is a new one, in the driver's place.
func (p *privateFiles) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	if err := p.directoryOf(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(p.root, filepath.FromSlash(path)), os.O_WRONLY|os.O_CREATE|os.O_EXCL,
		private.FileMode)
	switch {
	case append && errors.Is(err, fs.ErrExist):
		return p.StorageDriver.Writer(ctx, path, append)
	case errors.Is(err, fs.ErrNotExist):
		return nil, p.answer(errors.Join(storagedriver.PathNotFoundError{Path: path}, err))
	case err != nil:
		return nil, fileError(err)
	}
	return &fileWriter{file: f, buffer: bufio.NewWriter(f)}, nil
}

// fileWriter writes a file. Unlike the driver's it can be told to keep nothing back, so that others read what was written.
type fileWriter struct {
	file   *os.File
	buffer *bufio.Writer // nil: written at once
	size   int64
	ended  bool
}

var _ storagedriver.FileWriter = (*fileWriter)(nil)

// follow opens the file for reading; what is written from now on can be read at once.
func (w *fileWriter) follow() (*os.File, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	w.buffer = nil
	return os.Open(w.file.Name())
}

func (w *fileWriter) flush() error {
	if w.buffer == nil {
		return nil
	}
	return w.buffer.Flush()
}

// Write implements io.Writer.
func (w *fileWriter) Write(p []byte) (n int, err error) {
	if w.buffer == nil {
		n, err = w.file.Write(p)
	} else {
		n, err = w.buffer.Write(p)
	}
	w.size += int64(n)
	return n, err
}

// Size implements storagedriver.FileWriter.
func (w *fileWriter) Size() int64 { return w.size }

// Commit implements storagedriver.FileWriter.
func (w *fileWriter) Commit(context.Context) error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.file.Sync()
}

// Close implements storagedriver.FileWriter. Nothing is lost by it that Commit was not to keep.
func (w *fileWriter) Close() error {
	w.ended = true
	return w.file.Close()
}

// Cancel implements storagedriver.FileWriter.
func (w *fileWriter) Cancel(context.Context) error {
	if !w.ended {
		_ = w.Close() // it goes away
	}
	return os.Remove(w.file.Name())
}

// Move makes the directory before the driver does.
func (p *privateFiles) Move(ctx context.Context, from, to string) error {
	if err := p.directoryOf(to); err != nil {
		return err
	}
	return p.answer(p.StorageDriver.Move(ctx, from, to))
}
