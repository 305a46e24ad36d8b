// Package inroot opens files below a directory as a host sees them whose root that is: links are followed, absolute ones
// from the directory on, and none leads out of it (openat2(2), RESOLVE_IN_ROOT).
package inroot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrDangling says that a link on the way leads to nothing, which is not the same as that there is nothing.
var ErrDangling = errors.New("a link on the way leads to nothing below the root")

// Root is a directory that stands for a host's root. It is safe for concurrent use.
type Root struct{ dir *os.File }

// Open opens a directory. The caller closes the root.
func Open(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{f}, nil
}

// Close closes the root; what was opened through it stays open.
func (r *Root) Close() error { return r.dir.Close() }

// Open implements fs.FS. What is not there is fs.ErrNotExist, unless a link leads there: ErrDangling.
func (r *Root) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := r.open(name, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) && r.dangles(name) {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrDangling}
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// dangles reports whether the first name of a path that leads to nothing is a link.
func (r *Root) dangles(name string) bool {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		f, err := r.open(name[:i], unix.O_PATH)
		if err == nil {
			_ = f.Close() // nothing was read
			continue
		}
		if f, err = r.open(name[:i], unix.O_PATH|unix.O_NOFOLLOW); err == nil {
			_ = f.Close()
		}
		return err == nil
	}
	return false
}

func (r *Root) open(name string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		if err == unix.EINTR || err == unix.EAGAIN { // something moved meanwhile
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// Directory opens a directory, and makes what is missing of it, links followed on the way. What is done through the result
// stays in it. The caller closes it.
func (r *Root) Directory(name string) (*os.Root, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrInvalid}
	}
	at := "."
	for part := range strings.SplitSeq(name, "/") {
		parent, err := r.open(at, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		err = unix.Mkdirat(int(parent.Fd()), part, 0o755)
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err = errors.Join(err, parent.Close()); err != nil {
			return nil, &fs.PathError{Op: "mkdir", Path: path.Join(at, part), Err: err}
		}
		at = path.Join(at, part)
	}
	d, err := r.open(at, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // nothing was written
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
}
