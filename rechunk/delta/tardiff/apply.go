package tardiff

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta"
)

// ApplyOptions bound what applying a tar-diff takes. The zero value has the defaults.
type ApplyOptions struct {
	// Most is the length of the tar stream that is made; default 64 GiB.
	Most int64
	// Dictionary is the length of a source that is held in memory as a dictionary; default, and at most, 512 MiB.
	Dictionary int64
}

// Apply makes the tar stream that a tar-diff describes and returns its length. Whether it is the right one is for the caller
// to say, who knows its diff_id: sources are not checked. Apart from dictionaries it needs the same memory for any file.
func Apply(ctx context.Context, w io.Writer, r io.Reader, s Sources, o ApplyOptions) (int64, error) {
	if o.Most <= 0 {
		o.Most = 64 << 30
	}
	if o.Dictionary <= 0 || o.Dictionary > maxDictionary {
		o.Dictionary = maxDictionary
	}
	a := &applier{w: w, sources: s, o: o, buf: make([]byte, 64<<10), other: make([]byte, 64<<10)}
	defer a.close()
	if err := a.begin(r); err != nil {
		return 0, err
	}
	defer a.z.Close()
	for {
		if ctx.Err() != nil {
			return a.made, context.Cause(ctx)
		}
		op, err := a.ops.ReadByte()
		if err == io.EOF {
			return a.made, nil
		}
		if err != nil {
			return a.made, a.broken(err)
		}
		if err := a.do(ctx, op); err != nil {
			return a.made, err
		}
		if err := a.worth(); err != nil {
			return a.made, err
		}
	}
}

// applier is the state of a stream.
type applier struct {
	w       io.Writer
	sources Sources
	o       ApplyOptions

	version Version
	in      *readErrors
	z       *zstd.Decoder
	ops     *bufio.Reader

	source delta.Content // nil before the first is opened
	pos    int64
	made   int64
	opened int64 // sources
	read   int64 // bytes of dictionaries
	done   int64 // operations
	buf    []byte
	other  []byte
}

// readErrors remembers what its reader failed with, to tell that from what is wrong with the bytes.
type readErrors struct {
	r   io.Reader
	err error
}

func (e *readErrors) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && err != io.EOF {
		e.err = err
	}
	return n, err
}

// begin reads the head of a file.
func (a *applier) begin(r io.Reader) error {
	a.in = &readErrors{r: r}
	var head [magicLen]byte
	if _, err := io.ReadFull(a.in, head[:]); err != nil {
		return a.broken(err)
	}
	switch string(head[:]) {
	case V1.magic():
		a.version = V1
	case V2.magic():
		a.version = V2
	default:
		return fmt.Errorf("%w: it does not begin as one", ErrInvalid)
	}
	z, err := zstd.NewReader(a.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return a.broken(err)
	}
	a.z, a.ops = z, bufio.NewReaderSize(z, 64<<10)
	return nil
}

// broken is the error for a stream that could not be read on.
func (a *applier) broken(err error) error {
	switch {
	case a.in.err != nil:
		return fmt.Errorf("reading a tar-diff: %w", a.in.err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

func (a *applier) do(ctx context.Context, op byte) error {
	size, err := binary.ReadUvarint(a.ops)
	if err != nil {
		return a.broken(err)
	}
	n := int64(size)
	if n < 0 {
		return fmt.Errorf("%w: a size of %d", ErrInvalid, size)
	}
	switch {
	case op == opOpen:
		return a.open(ctx, n)
	case op == opData:
		return a.data(ctx, n)
	case op > opDict || op == opDict && a.version < V2:
		return fmt.Errorf("%w: operation %d", ErrInvalid, op)
	case a.source == nil:
		return fmt.Errorf("%w: operation %d before a source was opened", ErrInvalid, op)
	case op == opSeek:
		a.pos = n
		return nil
	case op == opCopy:
		return a.copy(ctx, n)
	case op == opAdd:
		return a.add(ctx, n)
	}
	return a.dictionary(ctx, n)
}

// What a tar-diff may have done that nothing comes of, and how much more for each byte that is made.
const (
	openedMost = 10_000  // sources that are opened, and one more for each 64 bytes
	readMost   = 2 << 30 // bytes of dictionaries, and 64 more for each byte
	doneMost   = 64 << 20
)

// worth ends what does much of which little comes: a small file may stand for operations without end.
func (a *applier) worth() error {
	a.done++
	if a.opened > openedMost+a.made/64 || a.read > readMost+64*a.made || a.done > doneMost+a.made {
		return fmt.Errorf("%w: %d operations, %d opened sources and %d bytes of dictionaries for %d bytes", ErrLimit, a.done,
			a.opened, a.read, a.made)
	}
	return nil
}

// open makes another file the source.
func (a *applier) open(ctx context.Context, n int64) error {
	if n > maxPath {
		return fmt.Errorf("%w: a path of %d bytes, at most %d", ErrLimit, n, maxPath)
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(a.ops, name); err != nil {
		return a.broken(err)
	}
	a.close()
	a.opened++
	var err error
	a.source, err = a.sources.Open(ctx, string(name))
	a.pos = 0
	return err
}

func (a *applier) close() {
	if a.source != nil {
		_ = a.source.Close() // only read
		a.source = nil
	}
}

// emit writes bytes of the target.
func (a *applier) emit(p []byte) error {
	if a.made += int64(len(p)); a.made > a.o.Most {
		return fmt.Errorf("%w: it makes more than %d bytes", ErrLimit, a.o.Most)
	}
	_, err := a.w.Write(p)
	return err
}

// each has step fill a part of the buffer until n bytes were emitted.
func (a *applier) each(ctx context.Context, n int64, step func(p []byte) error) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := a.buf[:min(n, int64(len(a.buf)))]
		if err := step(p); err != nil {
			return err
		}
		if err := a.emit(p); err != nil {
			return err
		}
		n -= int64(len(p))
	}
	return nil
}

func (a *applier) data(ctx context.Context, n int64) error {
	return a.each(ctx, n, func(p []byte) error {
		if _, err := io.ReadFull(a.ops, p); err != nil {
			return a.broken(err)
		}
		return nil
	})
}

func (a *applier) copy(ctx context.Context, n int64) error { return a.each(ctx, n, a.fromSource) }

func (a *applier) add(ctx context.Context, n int64) error {
	if n > maxAdd {
		return fmt.Errorf("%w: %d bytes to add, at most %d", ErrLimit, n, maxAdd)
	}
	return a.each(ctx, n, func(p []byte) error {
		if err := a.fromSource(p); err != nil {
			return err
		}
		more := a.other[:len(p)]
		if _, err := io.ReadFull(a.ops, more); err != nil {
			return a.broken(err)
		}
		for i, b := range more {
			p[i] += b
		}
		return nil
	})
}

// fromSource fills p with the source's next bytes.
func (a *applier) fromSource(p []byte) error {
	n, err := a.source.ReadAt(p, a.pos)
	if n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: %d bytes at %d of %d: %w", ErrSource, len(p), a.pos, a.source.Size(), err)
	}
	a.pos += int64(n)
	return nil
}

// dictionary emits what a zstd frame of n bytes holds. The source is at its end then.
func (a *applier) dictionary(ctx context.Context, n int64) error {
	size := a.source.Size()
	if size > a.o.Dictionary {
		return fmt.Errorf("%w: a dictionary of %d bytes, at most %d", ErrLimit, size, a.o.Dictionary)
	}
	if a.read += size; a.read > readMost+64*a.made {
		return a.worth()
	}
	dict := make([]byte, size)
	a.pos = 0
	if err := a.fromSource(dict); err != nil {
		return err
	}
	frame := &io.LimitedReader{R: a.ops, N: n}
	z, err := zstd.NewReader(frame, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxDictionary), zstd.WithDecoderDictRaw(0, dict))
	if err != nil {
		return a.broken(err)
	}
	defer z.Close()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := z.Read(a.buf)
		if err := a.emit(a.buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return a.broken(err)
		}
	}
	if _, err := io.Copy(io.Discard, frame); err != nil {
		return a.broken(err)
	}
	if frame.N > 0 {
		return a.broken(io.ErrUnexpectedEOF)
	}
	return nil
}
