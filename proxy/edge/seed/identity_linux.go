package seed

import (
	"io/fs"
	"syscall"
)

// identityOf returns what tells a file in its state from others. A change of its contents changes that, too: of the times
// one can't be set at will.
func identityOf(info fs.FileInfo) (identity, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{
		device: s.Dev, inode: s.Ino, size: s.Size,
		modified: s.Mtim.Nano(), changedAt: s.Ctim.Nano(),
	}, true
}
