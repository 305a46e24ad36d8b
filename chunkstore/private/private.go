// Package private makes directories that belong to this process's user alone, and refuses those that others can change:
// whoever can put a file or a link where the proxy keeps its own can have it serve, or overwrite, what they like.
package private

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of what is its user's alone. They hold whatever the umask is, as far as it leaves the user its own.
const (
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
)

// ErrExposed is in the chain of errors about a directory that others can change.
var ErrExposed = errors.New("other users can change it")

// Directory makes a directory with those above it that are missing, or checks the one that is there. It is refused with
// ErrExposed when it, or a link that stands in its place, belongs to another user than this process's or root, and when
// everybody can write to it, but for one like /tmp, where nobody can touch what others made. An empty directory that this
// process's user has is closed to others; one that holds something already keeps its mode.
func Directory(dir string) error {
	if err := os.MkdirAll(dir, DirMode); err != nil {
		return err
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	for _, i := range []fs.FileInfo{link, info} {
		if uid, known := owner(i); known && uid != 0 && uid != os.Geteuid() {
			return exposed(dir,
				fmt.Sprintf("it belongs to user %d, and this process runs as %d: give it to that user, or name another "+
					"directory", uid, os.Geteuid()))
		}
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return exposed(dir, "everybody can write to it: chmod 0700, or name a directory below it, which is made then")
	}
	return closeEmpty(dir, info)
}

func exposed(dir, why string) error { return fmt.Errorf("%s: %w: %s", dir, ErrExposed, why) }

// closeEmpty takes an empty directory from others.
func closeEmpty(dir string, info fs.FileInfo) error {
	uid, known := owner(info)
	if !known || uid != os.Geteuid() || info.Mode().Perm()&^DirMode == 0 || info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); !errors.Is(err, io.EOF) {
		return err
	}
	return os.Chmod(dir, info.Mode()&^0o077)
}

// Tree checks a directory whose whole content is this process's, which need not be there: neither it nor what lies in it may
// be a link, and it is closed to others.
func Tree(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return exposed(dir, "it is no directory, and links are not followed here")
	}
	if err := Directory(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			return exposed(filepath.Join(dir, e.Name()), "it is a link, and links are not followed here")
		}
	}
	if uid, known := owner(info); known && uid == os.Geteuid() && info.Mode().Perm()&^DirMode != 0 {
		return os.Chmod(dir, DirMode)
	}
	return nil
}
