package delta

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
)

// output writes the tar stream in a goroutine of its own: bytes, and parts as they are ready.
type output struct {
	stop  <-chan struct{} // closed when Apply ends
	w     io.Writer
	sum   hash.Hash
	queue chan segment
	free  chan []byte // what is written, for what comes next
	buf   []byte      // not yet queued
}

// segment is the next bytes, or a part.
type segment struct {
	bytes []byte
	part  *result
}

// segmentMost is how many bytes are queued at once.
const segmentMost = 256 << 10

// ahead is how many segments may be queued: encoders work on so many parts ahead of the one that is written.
const ahead = 64

func newOutput(stop <-chan struct{}, w io.Writer) *output {
	return &output{stop: stop, w: w, sum: sha256.New(), queue: make(chan segment, ahead), free: make(chan []byte, ahead)}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if o.buf == nil {
			select {
			case o.buf = <-o.free:
			default:
				o.buf = make([]byte, 0, segmentMost)
			}
		}
		k := min(len(p), cap(o.buf)-len(o.buf))
		o.buf = append(o.buf, p[:k]...)
		p = p[k:]
		if len(o.buf) == cap(o.buf) {
			if err := o.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush queues what is written so far.
func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	s := segment{bytes: o.buf}
	o.buf = nil
	return o.send(s)
}

func (o *output) send(s segment) error {
	select {
	case o.queue <- s:
		runtime.Gosched() // where there is one processor, who writes would not begin before the queue is full
		return nil
	case <-o.stop:
		return context.Canceled
	}
}

// place implements sink.
func (o *output) place(r *result) error {
	if err := o.flush(); err != nil {
		return err
	}
	return o.send(segment{part: r})
}

// write writes what is queued, until the queue is closed.
func (o *output) write(ctx context.Context) error {
	w := io.MultiWriter(o.sum, o.w)
	for s := range o.queue {
		if s.part == nil {
			if _, err := w.Write(s.bytes); err != nil {
				return fmt.Errorf("write the tar stream: %w", err)
			}
			select {
			case o.free <- s.bytes[:0]:
			default:
			}
			continue
		}
		b, err := s.part.wait(ctx)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, b.reader()); err != nil {
			return fmt.Errorf("write the tar stream: %w", err)
		}
		if err := s.part.drop(); err != nil {
			return err
		}
	}
	return nil
}

// digest is that of all that was written.
func (o *output) digest() digest.Digest { return digest.NewDigest(digest.SHA256, o.sum) }
