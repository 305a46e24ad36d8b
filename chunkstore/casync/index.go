package casync

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Numbers of index files.
const (
	indexType  = 0x96824d9c7b129ff9
	tableType  = 0xe75b9e112f17417d
	tailMarker = 0x4b4f050e5549ecd1
	headerSize = 48
	tableHead  = 16
	itemSize   = 8 + len(ID{})
	// flags are what casync makes a file with: chunks are named by SHA-512/256, and what is left out of directories, which
	// says nothing of a file.
	flags = 0xb000000000000000
	// namedBy512 says that chunks are named by SHA-512/256, and not by SHA-256.
	namedBy512 = 0x2000000000000000
)

// MaxChunks bounds how many chunks an index that is read may have: a terabyte of default ones.
const MaxChunks = 1 << 24

// ErrInvalid says that bytes are no index of a stream, or no chunk, as they are read here.
var ErrInvalid = errors.New("invalid casync data")

// Index says what chunks a stream has.
type Index struct {
	Sizes  Sizes
	Chunks []Chunk
}

// Length returns that of the stream, in bytes.
func (x *Index) Length() (n int64) {
	for _, c := range x.Chunks {
		n += int64(c.Size)
	}
	return n
}

// EncodedSize returns the length of an index file of so many chunks, in bytes.
func EncodedSize(chunks int) int64 {
	return headerSize + tableHead + int64(chunks+1)*int64(itemSize)
}

// Write writes an index file (.caibx): the same index gives the same bytes, those of casync.
func (x *Index) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var b []byte
	put := func(values ...uint64) {
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	put(headerSize, indexType, flags, uint64(x.Sizes.Min), uint64(x.Sizes.Avg), uint64(x.Sizes.Max))
	put(math.MaxUint64, tableType)
	var offset uint64
	for _, c := range x.Chunks {
		offset += uint64(c.Size)
		put(offset)
		b = append(b, c.ID[:]...)
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	put(0, 0, headerSize, uint64(tableHead+(len(x.Chunks)+1)*itemSize), tailMarker)
	if _, err := out.Write(b); err != nil {
		return err
	}
	return out.Flush()
}

// ReadIndex reads an index file of a stream to its end. What is none gives an error that is ErrInvalid.
func ReadIndex(r io.Reader) (*Index, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var head [8]uint64
	if err := fields(in, head[:]); err != nil {
		return nil, err
	}
	switch {
	case head[0] != headerSize || head[1] != indexType || head[6] != math.MaxUint64 || head[7] != tableType:
		return nil, fmt.Errorf("%w: no index file", ErrInvalid)
	case head[2]&namedBy512 == 0:
		return nil, fmt.Errorf("%w: its chunks are named by SHA-256; only SHA-512/256 is read", ErrInvalid)
	case max(head[3], head[4], head[5]) > mostSize:
		return nil, fmt.Errorf("%w: chunks of up to %d bytes; the limit is %d", ErrInvalid, head[5], mostSize)
	}
	x := &Index{Sizes: Sizes{int(head[3]), int(head[4]), int(head[5])}}
	if err := x.Sizes.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return x, x.readItems(in)
}

// readItems reads the table's items, its tail, and the end of the file.
func (x *Index) readItems(in *bufio.Reader) error {
	for offset := uint64(0); ; {
		var end [1]uint64
		if err := fields(in, end[:]); err != nil {
			return err
		}
		if end[0] == 0 {
			return x.readTail(in)
		}
		size := end[0] - offset
		if end[0] <= offset || size > uint64(x.Sizes.Max) {
			return fmt.Errorf("%w: chunk %d ends at %d and begins at %d; the longest has %d bytes", ErrInvalid,
				len(x.Chunks), end[0], offset, x.Sizes.Max)
		}
		if len(x.Chunks) == MaxChunks {
			return fmt.Errorf("%w: more than %d chunks", ErrInvalid, MaxChunks)
		}
		c := Chunk{Size: int(size)}
		if _, err := io.ReadFull(in, c.ID[:]); err != nil {
			return broken(err)
		}
		offset = end[0]
		x.Chunks = append(x.Chunks, c)
	}
}

func (x *Index) readTail(in *bufio.Reader) error {
	var tail [4]uint64
	if err := fields(in, tail[:]); err != nil {
		return err
	}
	if tail != [4]uint64{0, headerSize, uint64(tableHead + (len(x.Chunks)+1)*itemSize), tailMarker} {
		return fmt.Errorf("%w: the table ends as no index does", ErrInvalid)
	}
	switch _, err := in.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows the table", ErrInvalid)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read index: %w", err)
	}
	return nil
}

// fields reads numbers.
func fields(r io.Reader, out []uint64) error {
	var b [8]byte
	for i := range out {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return broken(err)
		}
		out[i] = binary.LittleEndian.Uint64(b[:])
	}
	return nil
}

// broken is the error of a file that ends too soon, or could not be read.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it breaks off", ErrInvalid)
	}
	return fmt.Errorf("read index: %w", err)
}
