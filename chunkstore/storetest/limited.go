package storetest

import (
	"context"
	"io/fs"
	"sync/atomic"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Limited is a driver on a backend that takes so many bytes and then has no space left (ENOSPC). A write that does not fit
// stores what fits. Deleting gives nothing back.
type Limited struct {
	storagedriver.StorageDriver
	left atomic.Int64
}

// NewLimited decorates a driver.
func NewLimited(driver storagedriver.StorageDriver, bytes int64) *Limited {
	l := &Limited{StorageDriver: driver}
	l.left.Store(bytes)
	return l
}

// take asks for n bytes and returns how many there are.
func (l *Limited) take(n int) int {
	left := l.left.Add(-int64(n))
	return max(0, n+int(min(left, 0)))
}

func errFull(path string) error {
	return &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
}

// PutContent stores all or nothing.
func (l *Limited) PutContent(ctx context.Context, path string, b []byte) error {
	if l.take(len(b)) < len(b) {
		return storagedriver.Error{DriverName: l.Name(), Detail: errFull(path)}
	}
	return l.StorageDriver.PutContent(ctx, path, b)
}

// Writer returns a writer on the limited backend.
func (l *Limited) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	fw, err := l.StorageDriver.Writer(ctx, path, append)
	if err != nil {
		return nil, err
	}
	return &limitedWriter{fw, l, path}, nil
}

type limitedWriter struct {
	storagedriver.FileWriter
	driver *Limited
	path   string
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	fits := w.driver.take(len(p))
	n, err := w.FileWriter.Write(p[:fits])
	if err == nil && fits < len(p) {
		err = errFull(w.path)
	}
	return n, err
}

// Truncating is a driver whose writers report success but keep only the first Keep bytes.
type Truncating struct {
	storagedriver.StorageDriver
	Keep int64
}

// Writer returns a writer that loses bytes.
func (d *Truncating) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	fw, err := d.StorageDriver.Writer(ctx, path, append)
	if err != nil {
		return nil, err
	}
	return &truncatingWriter{FileWriter: fw, left: d.Keep}, nil
}

type truncatingWriter struct {
	storagedriver.FileWriter
	left int64
}

func (w *truncatingWriter) Write(p []byte) (int, error) {
	n, err := w.FileWriter.Write(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	if err != nil {
		return n, err
	}
	return len(p), nil
}
