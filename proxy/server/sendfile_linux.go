package server

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
)

// fileSender has the kernel send a file on one connection. A place among the senders is held for single calls that do not wait: a client
// that takes its time costs nobody anything.
type fileSender struct {
	conn syscall.RawConn
	file *os.File
	in   int // the file's descriptor
	from *senders
	send func(out uintptr) (done bool) // once, made once for all turns

	count, sent int // bytes: wanted of the turn, and what came of it
	err         error
}

func newFileSender(c *boundedConn, f *os.File) (*fileSender, error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &fileSender{conn: conn, file: f, in: int(f.Fd()), from: c.senders}
	s.send = s.once
	return s, nil
}

// turn sends some bytes of what is limited, and waits until at least one can be sent. None, and no error, is the file's end. handled is
// false when the kernel cannot send this file.
func (s *fileSender) turn(src *io.LimitedReader) (n int64, handled bool, err error) {
	s.count = int(min(src.N, sendTurn))
	err = s.conn.Write(s.send)
	runtime.KeepAlive(s.file)
	if err != nil {
		return 0, true, err
	}
	if errors.Is(s.err, syscall.EINVAL) || errors.Is(s.err, syscall.ENOSYS) || errors.Is(s.err, syscall.EOPNOTSUPP) {
		return 0, false, nil
	}
	src.N -= int64(s.sent)
	return int64(s.sent), true, os.NewSyscallError("sendfile", s.err)
}

// once is one call; it is to be repeated when the connection takes bytes again.
func (s *fileSender) once(out uintptr) (done bool) {
	if s.count > sendSmall && s.from.heeds() {
		s.from.places <- struct{}{}
		defer func() { <-s.from.places }()
	}
	for {
		s.sent, s.err = syscall.Sendfile(int(out), s.in, nil, s.count)
		if s.err != nil {
			s.sent = 0
		}
		if s.err != syscall.EINTR {
			return s.err != syscall.EAGAIN
		}
	}
}
