package chunkstore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// read returns the whole object at a path, of at most max bytes.
func (s *Store) read(ctx context.Context, op, path string, max int64) ([]byte, error) {
	if max < 0 {
		return nil, tooLarge(op, max)
	}
	max = min(max, math.MaxInt64-1)
	rc, err := s.driver.Reader(ctx, path, 0)
	if err != nil {
		return nil, failed(op, err)
	}
	defer rc.Close()
	var b []byte
	if f, ok := rc.(*os.File); ok {
		b, err = readFile(f, path, max+1)
	} else {
		b, err = io.ReadAll(io.LimitReader(rc, max+1))
	}
	if err != nil {
		return nil, failed(op, err)
	}
	if int64(len(b)) > max {
		return nil, tooLarge(op, max)
	}
	return b, nil
}

// readFile reads at most limit bytes, into memory of just the right size: stored files do not change.
func readFile(f *os.File, path string, limit int64) ([]byte, error) {
	fi, err := regular(f, path)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(fi.Size(), limit))
	_, err = io.ReadFull(f, b)
	return b, err
}

// regular returns a file's properties; a directory is nothing.
func regular(f *os.File, path string) (fs.FileInfo, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, storagedriver.PathNotFoundError{Path: path}
	}
	return fi, nil
}

func tooLarge(op string, max int64) error {
	return reject(op, ErrTooLarge, fmt.Sprintf("it has more than the %d bytes allowed", max))
}
