package tardiff

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// literalBuffer is how many new bytes are gathered for one operation.
	literalBuffer = 1 << 20
	// mostWindow bounds the window of what is written: less than readers accept, since it is memory.
	mostWindow = 32 << 20
)

// writer writes the operations of a tar-diff. It is for one goroutine.
type writer struct {
	out    counter
	z      *zstd.Encoder
	lit    []byte
	source string
	pos    int64
	// weight estimates what has been written in compressed bytes: new bytes, bytes that differ, and operations.
	weight int64
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// newWriter makes a writer of what is about as long as a tar stream of size bytes.
func newWriter(w io.Writer, v Version, size int64) (*writer, error) {
	window := 64 << 10
	for int64(window) < size && window < mostWindow {
		window <<= 1
	}
	t := &writer{out: counter{w: w}}
	if _, err := io.WriteString(&t.out, v.magic()); err != nil {
		return nil, err
	}
	var err error
	t.z, err = zstd.NewWriter(&t.out, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	return t, err
}

// reset begins anew, with a writer that keeps nothing but counts.
func (t *writer) reset() {
	t.out = counter{w: io.Discard}
	t.z.Reset(&t.out)
	t.lit, t.source, t.pos = t.lit[:0], "", 0
}

// close writes what is left and returns the length of the whole.
func (t *writer) close() (int64, error) {
	err := t.flush()
	if cerr := t.z.Close(); err == nil {
		err = cerr
	}
	return t.out.n, err
}

// abandon frees a writer whose output is of no use.
func (t *writer) abandon() {
	t.z.Reset(nil)
	_ = t.z.Close() // it writes to nothing
}

func (t *writer) op(op byte, size int64, data []byte) error {
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = op
	n := 1 + binary.PutUvarint(head[1:], uint64(size))
	if _, err := t.z.Write(head[:n]); err != nil {
		return err
	}
	_, err := t.z.Write(data)
	return err
}

func (t *writer) flush() error {
	if len(t.lit) == 0 {
		return nil
	}
	err := t.op(opData, int64(len(t.lit)), t.lit)
	t.lit = t.lit[:0]
	return err
}

// data emits new bytes.
func (t *writer) data(p []byte) error {
	t.weight += int64(len(p))
	for len(p) > 0 {
		n := min(len(p), literalBuffer-len(t.lit))
		t.lit = append(t.lit, p[:n]...)
		p = p[n:]
		if len(t.lit) == literalBuffer {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// at makes a file the source and goes to a place in it.
func (t *writer) at(source string, pos int64) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.weight += opWeight
	if t.source != source {
		if len(source) > maxPath {
			return fmt.Errorf("%w: a path of %d bytes", ErrLimit, len(source))
		}
		t.weight += int64(len(source))
		if err := t.op(opOpen, int64(len(source)), []byte(source)); err != nil {
			return err
		}
		t.source, t.pos = source, 0
	}
	if t.pos == pos {
		return nil
	}
	t.pos = pos
	return t.op(opSeek, pos, nil)
}

// opWeight is what an operation costs, about, in compressed bytes.
const opWeight = 3

// copy emits bytes of a source.
func (t *writer) copy(source string, pos, n int64) error {
	if err := t.at(source, pos); err != nil {
		return err
	}
	t.pos += n
	return t.op(opCopy, n, nil)
}

// add emits bytes of a source with differences.
func (t *writer) add(source string, pos int64, diff []byte) error {
	for len(diff) > 0 {
		p := diff[:min(len(diff), literalBuffer)]
		if err := t.at(source, pos); err != nil {
			return err
		}
		for _, b := range p {
			if b != 0 {
				t.weight++
			}
		}
		if err := t.op(opAdd, int64(len(p)), p); err != nil {
			return err
		}
		pos += int64(len(p))
		t.pos = pos
		diff = diff[len(p):]
	}
	return nil
}

// dictionary emits what a frame holds that has the whole source, of size bytes, as its dictionary.
func (t *writer) dictionary(source string, size int64, frame []byte) error {
	if err := t.at(source, 0); err != nil {
		return err
	}
	t.weight += int64(len(frame))
	t.pos = size
	return t.op(opDict, int64(len(frame)), frame)
}
