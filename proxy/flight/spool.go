package flight

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// spool is a flight's temporary file. It has no name, so that nothing remains of it when the process dies. One goroutine
// writes; any number may read what was written.
type spool struct {
	file *os.File
	end  int64 // the writer's own
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "strata-download-")
	if err != nil {
		return nil, spoolError("create", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the file is lost either way
		return nil, spoolError("unlink", err)
	}
	return &spool{file: f}, nil
}

func (s *spool) write(p []byte) error {
	n, err := s.file.WriteAt(p, s.end)
	s.end += int64(n)
	if err != nil {
		return spoolError("write", err)
	}
	return nil
}

// readAt fills p, all of which was written before.
func (s *spool) readAt(p []byte, off int64) error {
	if n, err := s.file.ReadAt(p, off); n < len(p) {
		return spoolError("read", err)
	}
	return nil
}

// close frees the bytes. Nothing is lost by an error: the file was never meant to stay.
func (s *spool) close() { _ = s.file.Close() }

// spoolError says what failed, and ErrNoSpace when the disk or the quota is full.
func spoolError(op string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s temporary file: %w: %w", op, ErrNoSpace, err)
	}
	return fmt.Errorf("%s temporary file: %w", op, err)
}
