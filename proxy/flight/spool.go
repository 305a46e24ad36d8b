package flight

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// TempPattern is how the files of downloads are named, as os.CreateTemp takes it, until they lose their name.
const TempPattern = "strata-tmp-download-*"

// spool is where a flight's bytes are read from while they come: the very file that the Sink writes, where that keeps files,
// else a temporary file. That one has no name, so that nothing remains of it when the process dies. One goroutine writes;
// any number may read what was written.
type spool struct {
	dir    string
	space  Space
	file   atomic.Pointer[os.File] // nil before the first byte
	sinks  *os.File                // the Sink's, whether it is still read from or not
	end    int64                   // the writer's own
	booked int64                   // bytes booked in space
}

// follow reads from the file that the Sink writes.
func (s *spool) follow(f *os.File) {
	s.sinks = f
	s.file.Store(f)
}

// follows reports whether the bytes are the Sink's.
func (s *spool) follows() bool { return s.sinks != nil && s.file.Load() == s.sinks }

// begin makes the temporary file, with the bytes of the Sink's when there were such.
func (s *spool) begin() error {
	f, err := nameless(s.dir)
	if err != nil {
		return err
	}
	if s.sinks != nil {
		if _, err := io.Copy(f, io.NewSectionReader(s.sinks, 0, s.end)); err != nil {
			_ = f.Close() // the file is lost either way
			return spoolError("fill", err)
		}
	}
	s.file.Store(f)
	return nil
}

// nameless makes a temporary file without a name.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, TempPattern)
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		// Somebody has tidied up. The directory is ours to make.
		if err = os.MkdirAll(dir, 0o700); err == nil {
			f, err = os.CreateTemp(dir, TempPattern)
		}
	}
	if err != nil {
		return nil, spoolError("create", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the file is lost either way
		return nil, spoolError("unlink", err)
	}
	return f, nil
}

// book takes n bytes for what comes next, or says that there are none left.
func (s *spool) book(n int64) error {
	if s.space == nil {
		return nil
	}
	if err := s.space.TakeWhole(s.booked, n); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	s.booked += n
	return nil
}

// unbook gives the bytes back: they are stored now, or gone.
func (s *spool) unbook() {
	if s.space != nil {
		s.space.Give(s.booked)
	}
	s.booked = 0
}

// write appends to the temporary file. What the Sink wrote is only counted.
func (s *spool) write(p []byte) error {
	n, err := len(p), error(nil)
	if !s.follows() {
		n, err = s.file.Load().WriteAt(p, s.end)
	}
	s.end += int64(n)
	if err != nil {
		return spoolError("write", err)
	}
	return nil
}

// readAt fills p, all of which was written before.
func (s *spool) readAt(p []byte, off int64) error {
	if n, err := s.file.Load().ReadAt(p, off); n < len(p) {
		return spoolError("read", err)
	}
	return nil
}

// close ends reading, and frees a temporary file's bytes. Nothing is lost by an error: the file was never meant to stay.
func (s *spool) close() {
	if f := s.file.Load(); f != nil && f != s.sinks {
		_ = f.Close()
	}
	if s.sinks != nil {
		_ = s.sinks.Close()
	}
	s.unbook()
}

// spoolError says what failed, and ErrNoSpace when the disk or the quota is full, or the disk read-only.
func spoolError(op string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%s temporary file: %w: %w", op, ErrNoSpace, err)
	}
	return fmt.Errorf("%s temporary file: %w", op, err)
}
