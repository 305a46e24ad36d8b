package chunkstore

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/private"
)

// privateFiles is a filesystem driver whose directories and files are its user's alone. The driver itself makes them for
// everybody whom the umask lets, and writes through links.
type privateFiles struct {
	storagedriver.StorageDriver
	root string
}

// prepare makes the directory, or refuses one that others can change.
func (p *privateFiles) prepare() error {
	if err := private.Directory(p.root); err != nil {
		return err
	}
	return private.Tree(filepath.Join(p.root, filepath.FromSlash(rootDir)))
}

// Writer makes the file before the driver does, or, where it is a new one, in the driver's place.
func (p *privateFiles) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	name := filepath.Join(p.root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), private.DirMode); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, private.FileMode)
	switch {
	case append && errors.Is(err, fs.ErrExist):
		return p.StorageDriver.Writer(ctx, path, append)
	case err != nil:
		return nil, err
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
	if err := os.MkdirAll(filepath.Dir(filepath.Join(p.root, filepath.FromSlash(to))), private.DirMode); err != nil {
		return err
	}
	return p.StorageDriver.Move(ctx, from, to)
}
