package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stamped reads answers with the time at which the kernel had their last bytes in the client's socket (SO_TIMESTAMPNS, socket(7)). That
// time does not depend on when a busy load generator gets to read them: what is left is the server's.
type stamped struct {
	raw syscall.RawConn
	oob [128]byte
	at  time.Time // of the last read; zero when the kernel gave none
}

func newStamped(conn *net.TCPConn) (*stamped, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	return &stamped{raw: raw}, errors.Join(err, failed)
}

// Read implements io.Reader.
func (s *stamped) Read(p []byte) (int, error) {
	var n, oobn int
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, failed = unix.Recvmsg(int(fd), p, s.oob[:], 0)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, io.EOF
	}
	s.at = stampOf(s.oob[:oobn])
	return n, nil
}

// since is how long it took from a time on until what was read last had arrived; until now where the kernel did not say.
func (s *stamped) since(start time.Time) time.Duration {
	start = start.Round(0) // by the clock that the kernel stamps with
	if s.at.Before(start) {
		return time.Since(start)
	}
	return s.at.Sub(start)
}

// stampOf finds a time among control messages.
func stampOf(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS {
			var ts unix.Timespec
			if err := binary.Read(bytes.NewReader(m.Data), binary.NativeEndian, &ts); err == nil {
				return time.Unix(ts.Unix())
			}
		}
	}
	return time.Time{}
}
