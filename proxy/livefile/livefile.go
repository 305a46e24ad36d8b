// Package livefile keeps what a program made of some files as new as the files: certificates, password files, keys. It looks
// when it is asked, at most once a second, so there is nothing to start or stop. Symbolic links are followed, so that files
// which are replaced by moving a link, as Kubernetes does with mounted secrets, are seen.
package livefile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Limit bounds each file, in bytes.
const Limit = 4 << 20

// lookEvery is how long files are believed to be as they were.
const lookEvery = time.Second

// Options change how a File looks. The zero value is ready.
type Options struct {
	// What names the files in logs: "certificate".
	What string
	// Logger is told when the files changed, and once for each change that cannot be used. Nil: nobody.
	Logger *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// File is a value of type T that files hold. It is safe for concurrent use.
type File[T any] struct {
	Options
	paths []string
	parse func(contents [][]byte) (T, error)

	mu    sync.Mutex
	value T
	seen  []os.FileInfo // of the contents that were parsed last, whether they could be used or not
	next  time.Time     // when to look again
}

// New reads the files and makes the first value of their contents, which come in the order of paths. An error says which
// file cannot be read, or what parse said.
func New[T any](paths []string, parse func(contents [][]byte) (T, error), o Options) (*File[T], error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &File[T]{Options: o, paths: paths, parse: parse}
	var err error
	f.value, f.seen, err = f.read()
	f.next = f.Now().Add(lookEvery)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Get returns the value of the newest contents that could be used.
func (f *File[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Now()
	if now.Before(f.next) {
		return f.value
	}
	f.next = now.Add(lookEvery)
	if stat, err := statAll(f.paths); err == nil && same(stat, f.seen) {
		return f.value
	}
	value, seen, err := f.read()
	switch {
	case err == nil:
		f.value = value
		f.Logger.Info(f.What+" read again", "files", strings.Join(f.paths, ", "))
	case !same(seen, f.seen):
		f.Logger.Error(f.What+" cannot be used, the one before stays", "files", strings.Join(f.paths, ", "), "error", err)
	}
	f.seen = seen
	return f.value
}

// read makes a value of what the files hold now. What it returns about the files is from before they were read, so that a
// change in between is seen the next time.
func (f *File[T]) read() (value T, seen []os.FileInfo, err error) {
	seen, err = statAll(f.paths)
	if err != nil {
		return value, nil, err
	}
	contents := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		if contents[i], err = readFile(path); err != nil {
			return value, seen, err
		}
	}
	value, err = f.parse(contents)
	return value, seen, err
}

func statAll(paths []string) ([]os.FileInfo, error) {
	out := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file", path)
		}
		out[i] = info
	}
	return out, nil
}

// same reports whether nothing changed. Files that could not be looked at are the same as such.
func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, Limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > Limit {
		return nil, fmt.Errorf("%s is longer than the limit of %d bytes", path, Limit)
	}
	return b, nil
}
