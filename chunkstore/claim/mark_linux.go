package claim

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// mark puts a second shared lock on the file, of the kind that can be asked for: flock cannot be tried without giving up the
// lock that one has. It belongs to the open file, hence to the claim.
func mark(f *os.File) {
	// without it the others do not know that they are not alone: see unmarked
	_ = hold(f, byteAll, unix.F_RDLCK)
}

// The bytes of the file that say what its processes do with the directory.
const (
	byteAll     = iota // all of them
	byteServers        // those that serve from it
	byteWriters        // those that add to it on their own
)

// hold locks a byte, or returns ErrInUse when others' locks stand against it. A filesystem that has no such locks is no
// error.
func hold(f *os.File, at int64, kind int16) error {
	l := unix.Flock_t{Type: kind, Start: at, Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrInUse
	}
	return nil
}

// held reports whether another open file has a lock on a byte.
func held(f *os.File, at int64) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// lockByte locks a byte for this open file alone, or returns ErrInUse.
func lockByte(f *os.File, at int64) (unlock func(), err error) {
	if err := hold(f, at, unix.F_WRLCK); err != nil {
		return nil, err
	}
	return func() { _ = hold(f, at, unix.F_UNLCK) }, nil // the file's end is the lock's
}

// markServer marks a process that serves. Each takes its mark before it looks for the others', so that of two that start at
// once at least one sees the other.
func markServer(f *os.File, shared bool) error {
	kind := int16(unix.F_WRLCK)
	if shared {
		kind = unix.F_RDLCK
	}
	if err := hold(f, byteServers, kind); err != nil {
		return err
	}
	if held(f, byteWriters) {
		return ErrInUse
	}
	return nil
}

func markWriter(f *os.File) error {
	if err := hold(f, byteWriters, unix.F_RDLCK); err != nil {
		return err
	}
	if held(f, byteServers) {
		return ErrInUse
	}
	return nil
}

// unmarked reports whether no other open file has a mark.
func unmarked(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type == unix.F_UNLCK
}
