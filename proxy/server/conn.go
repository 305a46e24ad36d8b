package server

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-oci/strata/proxy/limits"
	"github.com/strata-oci/strata/proxy/metrics"
)

// connLimits are what the connections of a listener are held to.
type connLimits struct {
	total, perAddress int // open at once; 0: no limit
	stall             time.Duration
}

// boundedListener closes connections beyond the limits as they come, and cuts off those whose peer takes nothing for a
// while.
type boundedListener struct {
	*net.TCPListener
	limits  *atomic.Pointer[connLimits]
	refused func(metrics.ConnectionLimit)
	senders *senders
	open    limits.Counter
}

func newBoundedListener(
	l *net.TCPListener, limits *atomic.Pointer[connLimits], files *senders, refused func(metrics.ConnectionLimit),
) *boundedListener {
	return &boundedListener{TCPListener: l, limits: limits, refused: refused, senders: files}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		who, most := limits.Address(c.RemoteAddr().String()), l.limits.Load()
		if full := l.open.Enter(who, most.total, most.perAddress); full != "" {
			l.refused(metrics.ConnectionLimit(full))
			_ = c.Close()
			continue
		}
		return &boundedConn{TCPConn: c, limits: l.limits, senders: l.senders,
			leave: sync.OnceFunc(func() { l.open.Leave(who) })}, nil
	}
}

// boundedConn is a connection whose writes fail when nothing of them was taken for the stall time: however slow a peer is,
// it gets all as long as it takes something. It keeps io.ReaderFrom, by which the kernel sends files itself.
type boundedConn struct {
	*net.TCPConn
	limits  *atomic.Pointer[connLimits]
	senders *senders
	leave   func()

	mu  sync.Mutex
	end time.Time // beyond which nothing is written, zero: none
}

var _ io.ReaderFrom = (*boundedConn)(nil)

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

// SetWriteDeadline sets an end that progress does not put off.
func (c *boundedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *boundedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// extend gives the peer another stall time, and reports false when the end has come.
func (c *boundedConn) extend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	next := now.Add(c.limits.Load().stall)
	if !c.end.IsZero() && c.end.Before(next) {
		next = c.end
	}
	_ = c.TCPConn.SetWriteDeadline(next) // fails on a closed connection, as the write will
	return next.After(now)
}

// again reports whether a write that ended early made progress and may go on.
func again(n int64, err error) bool { return n > 0 && errors.Is(err, os.ErrDeadlineExceeded) }

// Write implements net.Conn.
func (c *boundedConn) Write(p []byte) (int, error) {
	written := 0
	for {
		more := c.extend()
		n, err := c.TCPConn.Write(p[written:])
		written += n
		if !more || !again(int64(n), err) {
			return written, err
		}
	}
}

// ReadFrom implements io.ReaderFrom. What was read of src is what was written, as far as it is a file, or limited reading of
// one; of anything else, what a timeout leaves unwritten is lost, so it is copied by Write.
func (c *boundedConn) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		if f, ok := limited.R.(*os.File); ok {
			return c.sendFile(f, limited)
		}
	}
	return io.Copy(struct{ io.Writer }{c}, src)
}

// sendFile sends some of a file, in turns with other connections.
func (c *boundedConn) sendFile(f *os.File, src *io.LimitedReader) (int64, error) {
	s, err := newFileSender(c, f)
	if err != nil {
		return 0, err
	}
	var written int64
	for src.N > 0 {
		more, queued := c.extend(), s.queued()
		n, handled, err := s.turn(src)
		if !handled {
			n, err = c.TCPConn.ReadFrom(src)
		}
		written += n
		if more && errors.Is(err, os.ErrDeadlineExceeded) && s.queued() < queued {
			continue // the peer took something, though not enough to be sent more
		}
		if err != nil && (!more || !again(n, err)) || err == nil && (n == 0 || !handled) {
			return written, err
		}
		runtime.Gosched() // others have their turn
	}
	return written, nil
}
