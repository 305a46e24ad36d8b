//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package claim

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// noFollow keeps from opening, and making, the file that a link leads to.
const noFollow = syscall.O_NOFOLLOW

// lockAlone takes the lock for this process alone, or reports that another one has it.
func lockAlone(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// lockShared takes the lock together with others. It waits for one that has it alone.
func lockShared(f *os.File) error { return flock(f, syscall.LOCK_SH) }

// lockBeside is lockShared for who waits for nobody: ErrInUse says that another one has it alone.
func lockBeside(f *os.File) error {
	err := flock(f, syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS),
			errors.Is(err, syscall.EINVAL):
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		default:
			return err
		}
	}
}
