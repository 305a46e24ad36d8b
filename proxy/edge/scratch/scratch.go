// Package scratch gives the temporary files that making and applying deltas takes, from one budget of disk.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/scan"
)

// TempPattern is how the files are named, as os.CreateTemp takes it, in the moment between their making and the loss of
// their name.
const TempPattern = "strata-tmp-scratch-*"

// Dir makes files without names in a directory, so that nothing is left of them when the process dies. All bytes that they
// have at one time are booked in one space. It is safe for concurrent use.
type Dir struct {
	path  string
	space scan.Space // nil for no bound

	mu    sync.Mutex
	taken int64
}

var _ delta.Scratch = (*Dir)(nil)

// New returns files in a directory, whose bytes come from space; nil stands for no bound.
func New(path string, space scan.Space) *Dir { return &Dir{path: path, space: space} }

// Create implements delta.Scratch.
func (d *Dir) Create() (delta.ScratchFile, error) {
	f, err := os.CreateTemp(d.path, TempPattern)
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("making a temporary file: %w", err), f.Close())
	}
	return &file{dir: d, f: f}, nil
}

// take books bytes, and give returns them.
func (d *Dir) take(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.space != nil {
		if err := d.space.Take(d.taken, n); err != nil {
			return fmt.Errorf("writing a temporary file: %w", err)
		}
	}
	d.taken += n
	return nil
}

func (d *Dir) give(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.space != nil {
		d.space.Give(n)
	}
	d.taken -= n
}

// file is written at its end by one goroutine, and read by any.
type file struct {
	dir *Dir
	f   *os.File

	mu     sync.Mutex
	size   int64
	booked int64
	closed bool
}

// Write appends.
func (f *file) Write(p []byte) (int, error) {
	if err := f.dir.take(int64(len(p))); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		f.dir.give(int64(len(p)))
		return 0, os.ErrClosed
	}
	f.booked += int64(len(p))
	n, err := f.f.WriteAt(p, f.size)
	f.size += int64(n)
	return n, err
}

// ReadAt reads what was written.
func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Size is how much was written.
func (f *file) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Close frees the file. It may be called more than once.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.dir.give(f.booked)
	return f.f.Close()
}
