package claim

import (
	"os"

	"golang.org/x/sys/unix"
)

// mark puts a second shared lock on the file, of the kind that can be asked for: flock cannot be tried without giving up the
// lock that one has. It belongs to the open file, hence to the claim.
func mark(f *os.File) {
	l := unix.Flock_t{Type: unix.F_RDLCK, Len: 1}
	// without it the others do not know that they are not alone: see unmarked
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// unmarked reports whether no other open file has a mark.
func unmarked(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type == unix.F_UNLCK
}
