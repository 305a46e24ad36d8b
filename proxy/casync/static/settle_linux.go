package static

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// settle waits until all that was written below a directory is on the disk: once, and not for each of many small files.
func settle(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
