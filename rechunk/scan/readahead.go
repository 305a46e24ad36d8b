package scan

import (
	"context"
	"io"

	"github.com/strata-oci/strata/rechunk/rescue"
)

// readAhead runs r in a goroutine of its own, a few buffers in front of the reader: decompression and hashing then use two
// cores. A panic of r is an error of Read. Close stops the goroutine and waits for it, so that r is not read afterwards.
type readAhead struct {
	full  chan chunk
	free  chan []byte
	stop  context.CancelFunc
	done  chan struct{}
	cur   []byte
	whole []byte
	err   error
}

type chunk struct {
	b   []byte
	err error
}

const (
	aheadBuffers = 4
	aheadSize    = 256 << 10
)

func newReadAhead(ctx context.Context, r io.Reader) *readAhead {
	ctx, stop := context.WithCancel(ctx)
	a := &readAhead{
		// Room for every buffer and for the word that the context has ended: the goroutine never waits for a reader that is
		// gone.
		full: make(chan chunk, aheadBuffers+1),
		free: make(chan []byte, aheadBuffers),
		stop: stop,
		done: make(chan struct{}),
	}
	for range aheadBuffers {
		a.free <- nil // made when it is needed: most layers of some images are small
	}
	go a.run(ctx, r)
	return a
}

func (a *readAhead) run(ctx context.Context, r io.Reader) {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			a.full <- chunk{err: context.Cause(ctx)}
			return
		}
		if buf == nil {
			buf = make([]byte, aheadSize)
		}
		var n int
		err := rescue.Call(func() (err error) {
			n, err = fill(ctx, r, buf)
			return err
		})
		a.full <- chunk{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// fill reads until the buffer is full, and returns the reader's error as it is: io.ReadFull would make the truncation of a
// source, io.ErrUnexpectedEOF, look like a short last buffer.
func fill(ctx context.Context, r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.cur) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.whole != nil {
			a.free <- a.whole[:cap(a.whole)]
			a.whole = nil
		}
		c := <-a.full
		a.cur, a.whole, a.err = c.b, c.b, c.err
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

func (a *readAhead) Close() error {
	a.stop()
	<-a.done
	return nil
}
