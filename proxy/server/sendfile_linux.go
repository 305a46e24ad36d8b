package server

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileSender has the kernel send a file on one connection. A place among the senders is held for single calls that do not
// wait: a client that takes its time costs nobody anything.
type fileSender struct {
	conn syscall.RawConn
	file *os.File
	in   int // the file's descriptor
	from *senders
	// send and look are once and outq, made once for all turns.
	send func(out uintptr) (done bool)
	look func(out uintptr)

	count, sent int // bytes: wanted of the turn, and what came of it
	err         error
	left        int // bytes that the peer has not taken
}

func newFileSender(c *boundedConn, f *os.File) (*fileSender, error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &fileSender{conn: conn, file: f, in: int(f.Fd()), from: c.senders}
	s.send, s.look = s.once, s.outq
	return s, nil
}

// turn sends some bytes of what is limited, and waits until at least one can be sent. None, and no error, is the file's end.
// handled is false when the kernel cannot send this file.
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

// queued is how many bytes the peer has not taken yet (SIOCOUTQ, tcp(7)). It takes a third of what a socket holds before the
// kernel wants more: a slow peer may take something for long without being sent anything.
func (s *fileSender) queued() int {
	s.left = 0
	_ = s.conn.Control(s.look)
	return s.left
}

func (s *fileSender) outq(out uintptr) { s.left, _ = unix.IoctlGetInt(int(out), unix.SIOCOUTQ) }

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
