package flight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// spool is a flight's temporary file. It has no name, so that nothing remains of it when the process dies. One goroutine
// writes; any number may read what was written.
type spool struct {
	file   *os.File
	budget *budget
	end    int64 // the writer's own
	booked int64 // bytes taken from the budget
}

func newSpool(dir string, b *budget) (*spool, error) {
	f, err := os.CreateTemp(dir, "strata-download-")
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		// Somebody has tidied up. The directory is ours to make.
		if err = os.MkdirAll(dir, 0o700); err == nil {
			f, err = os.CreateTemp(dir, "strata-download-")
		}
	}
	if err != nil {
		return nil, spoolError("create", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the file is lost either way
		return nil, spoolError("unlink", err)
	}
	return &spool{file: f, budget: b}, nil
}

// book takes so much of the budget that there is room for size bytes in all, or says that there is none.
func (s *spool) book(size int64) error {
	if size <= s.booked {
		return nil
	}
	if !s.budget.take(size - s.booked) {
		return fmt.Errorf("%w: downloads on their way may take %d bytes together", ErrNoSpace, s.budget.limit)
	}
	s.booked = size
	return nil
}

func (s *spool) write(p []byte) error {
	if err := s.book(s.end + int64(len(p))); err != nil {
		return err
	}
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
func (s *spool) close() {
	_ = s.file.Close()
	s.budget.give(s.booked)
}

// budget bounds what all spools take together. It is safe for concurrent use.
type budget struct {
	limit int64 // bytes; 0 for none

	mu   sync.Mutex
	used int64
}

// take reports whether n bytes more may be used. A download that is alone may have as much as it wants: else a blob larger than the
// limit could never be had.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && b.used > 0 && b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// spoolError says what failed, and ErrNoSpace when the disk or the quota is full.
func spoolError(op string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%s temporary file: %w: %w", op, ErrNoSpace, err)
	}
	return fmt.Errorf("%s temporary file: %w", op, err)
}
