package delta

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/residual"
)

// The streams of a batch.
const (
	operations = iota
	differences
	literals
	between
	streams
)

// batchMost is how many bytes a batch has of each stream at most.
var batchMost = [streams]int{operations: 1 << 20, differences: 1 << 20, literals: 4 << 20, between: 4 << 20}

// batchOutput ends a batch early, so that who waits for the delta gets on: bytes that the operations make.
const batchOutput = 64 << 20

// fills is what a batch is filled with before it is written. The first are small, since nothing of one is made before all of
// it is there.
type fills struct {
	data   [streams]int
	output int64
}

func firstFills() fills {
	return fills{data: [streams]int{64 << 10, 64 << 10, 64 << 10, 64 << 10}, output: 1 << 20}
}

// next is for the batch behind it.
func (f fills) next() fills {
	for i := range f.data {
		f.data[i] = min(4*f.data[i], batchMost[i])
	}
	f.output = min(4*f.output, batchOutput)
	return f
}

// windows are those of the streams' compressors. Programs of one package are alike, and seldom lie next to each other.
var windows = [streams]int{operations: 8 << 20, literals: 32 << 20, between: 8 << 20}

// packedMost is how many bytes a stream's piece has at most, for so many that it gives.
func packedMost(stream int, n uint64) uint64 {
	if stream == differences {
		// ten bits a difference and one for a block of them, each of at most twelve bits; of version 2, too
		return 16*n + 1024
	}
	return n + n/64 + 1024
}

// chunk is some operations with all that they need.
type chunk struct {
	data   [streams][]byte
	old    []byte // bytes that the differences are added to
	output int64  // bytes that they make
	item   int    // whose they are; -1 for none
}

// batchWriter writes chunks as batches.
type batchWriter struct {
	w      io.Writer
	n      int64 // bytes written
	raw    [streams][]byte
	old    []byte
	trail  *trail
	enc    [streams]*zstd.Encoder // but for differences
	packed [streams]bytes.Buffer
	output int64
	fills  fills
	shares []share // of what is in raw
	charge func(item int, bytes float64)
}

// share is how much of each stream is an item's.
type share struct {
	item  int
	bytes [streams]int
}

func newBatchWriter(w io.Writer, t *trail, charge func(int, float64)) *batchWriter {
	return &batchWriter{w: w, trail: t, charge: charge, fills: firstFills()}
}

// encode compresses what a stream has.
func (b *batchWriter) encode(stream int) error {
	if stream == differences {
		return b.residual()
	}
	if b.enc[stream] == nil {
		enc, err := zstd.NewWriter(&b.packed[stream], zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windows[stream]),
			zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(false))
		if err != nil {
			return fmt.Errorf("compress a delta: %w", err)
		}
		b.enc[stream] = enc
	}
	if _, err := b.enc[stream].Write(b.raw[stream]); err != nil {
		return fmt.Errorf("compress a delta: %w", err)
	}
	if err := b.enc[stream].Flush(); err != nil {
		return fmt.Errorf("compress a delta: %w", err)
	}
	return nil
}

// residual compresses the differences, and follows the operations of batches without any.
func (b *batchWriter) residual() error {
	if err := b.trail.follow(b.raw[operations], b.old, b.raw[differences]); err != nil {
		return err
	}
	if len(b.raw[differences]) > 0 {
		b.packed[differences].Write(b.trail.enc.Flush())
	}
	b.old = b.old[:0]
	return nil
}

// close frees the encoders.
func (b *batchWriter) close() {
	for _, enc := range b.enc {
		if enc != nil {
			enc.Reset(io.Discard)
			enc.Close() //nolint:errcheck // writes nowhere
		}
	}
}

// add takes over a chunk, which is within batchMost.
func (b *batchWriter) add(c chunk) error {
	for i := range c.data {
		if len(b.raw[i])+len(c.data[i]) > b.fills.data[i] {
			if err := b.flush(); err != nil {
				return err
			}
			break
		}
	}
	s := share{item: c.item}
	for i := range c.data {
		b.raw[i] = append(b.raw[i], c.data[i]...)
		s.bytes[i] = len(c.data[i])
	}
	b.old = append(b.old, c.old...)
	b.shares = append(b.shares, s)
	b.output += c.output
	if b.output >= b.fills.output {
		return b.flush()
	}
	return nil
}

// flush writes what there is as a batch.
func (b *batchWriter) flush() error {
	if len(b.raw[operations]) == 0 {
		return nil
	}
	var head []byte
	for i, raw := range b.raw {
		if len(raw) > 0 || i == differences {
			if err := b.encode(i); err != nil {
				return err
			}
		}
		head = binary.AppendUvarint(head, uint64(len(raw)))
		head = binary.AppendUvarint(head, uint64(b.packed[i].Len()))
	}
	b.account(len(head) + crc32.Size)
	sum := checksum(head)
	if err := b.write(head); err != nil {
		return err
	}
	for i := range b.packed {
		piece := b.packed[i].Bytes()
		sum = sum.of(piece)
		if err := b.write(piece); err != nil {
			return err
		}
		b.packed[i].Reset()
		b.raw[i] = b.raw[i][:0]
	}
	b.output, b.fills = 0, b.fills.next()
	return b.write(binary.LittleEndian.AppendUint32(nil, uint32(sum)))
}

// sum is the CRC-32C of a batch. It is of the compressed bytes: differences can't be decoded before operations run.
type sum uint32

func checksum(p []byte) sum { return sum(0).of(p) }

// of is the sum with more bytes.
func (s sum) of(p []byte) sum {
	return sum(crc32.Update(uint32(s), crc32.MakeTable(crc32.Castagnoli), p))
}

// account shares out what the batch costs.
func (b *batchWriter) account(head int) {
	b.charge(-1, float64(head))
	for _, s := range b.shares {
		for i, n := range s.bytes {
			if n == 0 {
				continue
			}
			item := s.item
			if i == between {
				item = -1
			}
			b.charge(item, float64(n)*float64(b.packed[i].Len())/float64(len(b.raw[i])))
		}
	}
	b.shares = b.shares[:0]
}

func (b *batchWriter) write(p []byte) error {
	n, err := b.w.Write(p)
	b.n += int64(n)
	if err != nil {
		return fmt.Errorf("write the delta: %w", err)
	}
	return nil
}

// batchReader reads batches.
type batchReader struct {
	r     *bytesReader
	diff  adder                  // nil as long as there are no differences
	mixed bool                   // the differences are those of mixedVersion
	left  int                    // differences that were not used yet
	dec   [streams]*zstd.Decoder // but for differences
	feed  [streams]feed
	data  [streams][]byte // but for differences
}

// feed is what a decoder reads: one piece after another. It shows nothing of a bytes.Buffer, which the decoder would take
// for all that there is.
type feed struct{ buf bytes.Buffer }

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) { return f.buf.Read(p) }

// adder decodes differences.
type adder interface {
	Begin(piece []byte)
	Add(p residual.Place, b []byte) error
	End() error
}

func newBatchReader(r *bytesReader, version string) *batchReader {
	return &batchReader{r: r, mixed: version == mixedVersion}
}

func (b *batchReader) close() {
	for _, dec := range b.dec {
		if dec != nil {
			dec.Close()
		}
	}
}

// next reads a batch into data, once its checksum says that it is what was written.
func (b *batchReader) next() error {
	var packed [streams]uint64
	var head []byte
	for i := range b.data {
		size, err := b.r.uint()
		if err != nil {
			return err
		}
		if packed[i], err = b.r.uint(); err != nil {
			return err
		}
		if size > uint64(batchMost[i]) || packed[i] > packedMost(i, size) || (size == 0) != (packed[i] == 0) {
			return fmt.Errorf("%w: a batch with %d bytes of stream %d, %d compressed", ErrInvalid, size, i, packed[i])
		}
		head = binary.AppendUvarint(binary.AppendUvarint(head, size), packed[i])
		if i == differences {
			b.left = int(size)
			b.feed[i].buf.Reset()
			continue
		}
		b.data[i] = slices.Grow(b.data[i][:0], int(size))[:size]
	}
	if len(b.data[operations]) == 0 {
		return fmt.Errorf("%w: a batch without operations", ErrInvalid)
	}
	if err := b.take(checksum(head), packed); err != nil {
		return err
	}
	for i := range b.data {
		if packed[i] == 0 {
			continue
		}
		if err := b.unpack(i); err != nil {
			return err
		}
	}
	return nil
}

// take reads the compressed pieces, and checks that they are right.
func (b *batchReader) take(head sum, packed [streams]uint64) error {
	for i, n := range packed {
		if _, err := io.CopyN(&b.feed[i].buf, b.r, int64(n)); err != nil {
			return brokenOff(err)
		}
		head = head.of(b.feed[i].buf.Bytes()) // nothing is left there of the batch before
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(b.r, want[:]); err != nil {
		return brokenOff(err)
	}
	if binary.LittleEndian.Uint32(want[:]) != uint32(head) {
		return fmt.Errorf("%w: a batch whose checksum is another", ErrInvalid)
	}
	return nil
}

// add adds differences to old bytes.
func (b *batchReader) add(p residual.Place, old []byte) error {
	if len(old) == 0 || len(old) > b.left {
		return fmt.Errorf("%w: differences of %d bytes, and there are %d", ErrInvalid, len(old), b.left)
	}
	b.left -= len(old)
	if err := b.diff.Add(p, old); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if b.left > 0 {
		return nil
	}
	if err := b.diff.End(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// unpack decodes the piece of one stream.
func (b *batchReader) unpack(i int) error {
	if i == differences {
		switch {
		case b.diff == nil && b.mixed:
			b.diff = residual.NewMixedDecoder()
		case b.diff == nil:
			b.diff = residual.NewDecoder()
		}
		b.diff.Begin(b.feed[i].buf.Bytes())
		return nil
	}
	if b.dec[i] == nil {
		dec, err := zstd.NewReader(&b.feed[i], zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(windows[i])))
		if err != nil {
			return fmt.Errorf("%w: stream %d: %w", ErrInvalid, i, err)
		}
		b.dec[i] = dec
	}
	if _, err := io.ReadFull(b.dec[i], b.data[i]); err != nil {
		return fmt.Errorf("%w: stream %d: %w", ErrInvalid, i, err)
	}
	if b.feed[i].buf.Len() > 0 {
		return fmt.Errorf("%w: %d bytes are left of stream %d", ErrInvalid, b.feed[i].buf.Len(), i)
	}
	return nil
}
