package delta

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/delta/residual"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// Delta is a delta that is being read. It is for one goroutine.
type Delta struct {
	version string
	header  Header
	lim     Limits
	r       *bytesReader
}

// Open reads a delta's header from r. Errors wrap ErrInvalid or ErrLimit, or are r's.
func Open(r io.Reader, lim Limits) (*Delta, error) {
	buffered := bufio.NewReader(r)
	d := &Delta{lim: lim.OrDefault(), r: &bytesReader{Reader: buffered, ByteReader: buffered}}
	var err error
	if d.version, err = readVersion(d.r); err == nil {
		d.header, err = readHeader(d.r, d.lim)
	}
	if err != nil {
		return nil, fmt.Errorf("open a delta: %w", err)
	}
	return d, nil
}

// Header returns what the delta says of itself.
func (d *Delta) Header() Header { return d.header }

// Apply reads the rest of the delta and writes the layer's tar stream to w, once. It writes while it reads, and knows only
// in the end whether the bytes are right: who passes them on holds the last ones back until Apply returns nil. Errors wrap
// ErrSource, ErrEncoder, ErrInvalid or ErrLimit, or are those of w, of the delta's reader, of o's parts or the context's.
func (d *Delta) Apply(ctx context.Context, w io.Writer, o ApplyOptions) error {
	if o.Memory == 0 {
		o.Memory = 256 << 20
	}
	o.Parallel = max(o.Parallel, 1)
	if err := d.apply(ctx, w, o); err != nil {
		return fmt.Errorf("apply the delta of %s: %w", d.header.Blob, err)
	}
	return nil
}

func (d *Delta) apply(ctx context.Context, w io.Writer, o ApplyOptions) (err error) {
	group, inner := errgroup.WithContext(ctx)
	m := newMemory(o.Memory-fixed, o.Scratch)
	a := &applier{
		d: d, o: o, work: newWork(&d.header, d.lim), batches: newBatchReader(d.r, d.version), memory: m,
		out: newOutput(inner.Done(), w), pool: newPool(o),
	}
	a.sources = newSources(d, o, m, &a.work)
	defer func() { err = errors.Join(err, a.close()) }()
	group.Go(func() error {
		defer close(a.out.queue)
		return rescue.Call(func() error { return a.run(inner) })
	})
	group.Go(func() error { return rescue.Call(func() error { return a.out.write(inner) }) })
	if err := group.Wait(); err != nil {
		if errors.Is(err, ErrEncoder) || errors.Is(err, ErrInvalid) { // wrong bytes of the seed may have led to it
			err = cmp.Or(a.sources.check(ctx), err)
		}
		return err
	}
	if a.out.digest() == d.header.DiffID {
		return nil
	}
	if err := a.sources.check(ctx); err != nil {
		return err
	}
	if a.wrapping {
		return fmt.Errorf("%w: the tar stream is %s, not %s", ErrEncoder, a.out.digest(), d.header.DiffID)
	}
	return fmt.Errorf("%w: the tar stream is %s, not %s", ErrInvalid, a.out.digest(), d.header.DiffID)
}

const fixed = 160 << 20 // bytes of memory that batches, their decoders and buffers take

// applier carries out the operations of a delta.
type applier struct {
	d        *Delta
	o        ApplyOptions
	work     work
	batches  *batchReader
	memory   *memory
	sources  *sources
	out      *output
	pool     *pool
	wrapping bool     // encoders were run
	uses     uint32   // of sources so far
	levels   []*level // that are begun; the tar stream is the first
	buf      []byte
}

// level is the tar stream or a part that is being made.
type level struct {
	left   int64 // bytes that are still to come
	cursor cursor
	sink   sink
	part   *part // nil for the tar stream
}

// sink takes the bytes of a level and the parts in it, in their order.
type sink interface {
	io.Writer
	place(r *result) error
}

func (a *applier) close() error {
	a.batches.close()
	a.pool.wait()
	return errors.Join(a.sources.close(), a.memory.close())
}

// run reads batches until the end.
func (a *applier) run(ctx context.Context) error {
	a.buf = make([]byte, residual.MaxRun)
	a.levels = []*level{{left: a.d.header.TarSize, cursor: cursor{source: noRef}, sink: a.out}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.batches.next(); err != nil {
			return err
		}
		if err := a.work.batch(len(a.batches.data[operations])); err != nil {
			return err
		}
		end, err := a.batch(ctx)
		if err != nil {
			return err
		}
		if err := a.out.flush(); err != nil {
			return err
		}
		if end {
			return a.end()
		}
	}
}

// end checks that nothing is missing or left over.
func (a *applier) end() error {
	if l := a.levels[len(a.levels)-1]; len(a.levels) > 1 || l.left > 0 {
		return fmt.Errorf("%w: it ends before the tar stream does", ErrInvalid)
	}
	if _, err := a.d.r.ReadByte(); err == nil {
		return fmt.Errorf("%w: there is something behind its end", ErrInvalid)
	} else if !errors.Is(err, io.EOF) {
		return brokenOff(err)
	}
	return nil
}

// batch carries out the operations of one batch, and says whether the last was the end.
func (a *applier) batch(ctx context.Context) (bool, error) {
	f := &fields{b: a.batches.data[operations]}
	rest := a.batches.data
	for len(f.b) > 0 {
		op := f.b[0]
		f.b = f.b[1:]
		if op == opEnd {
			rest[operations] = f.b
			return true, a.used(rest)
		}
		if err := a.op(ctx, op, f, &rest); err != nil {
			return false, err
		}
		if f.err != nil {
			return false, f.err
		}
	}
	rest[operations] = nil
	return false, a.used(rest)
}

// used checks that nothing is left of a batch.
func (a *applier) used(rest [streams][]byte) error {
	rest[differences] = nil
	if a.batches.left > 0 {
		return fmt.Errorf("%w: %d differences are left of a batch", ErrInvalid, a.batches.left)
	}
	for i := range rest {
		if len(rest[i]) > 0 {
			return fmt.Errorf("%w: %d bytes of stream %d are left of a batch", ErrInvalid, len(rest[i]), i)
		}
	}
	return nil
}

// op carries out one operation.
func (a *applier) op(ctx context.Context, op byte, f *fields, rest *[streams][]byte) error {
	l := a.levels[len(a.levels)-1]
	switch op {
	case opUse, opUseCode:
		a.uses++
		l.cursor.use(f, op, a.uses)
	case opSeek:
		l.cursor.at += f.int("a distance")
	case opCopy:
		return a.copy(ctx, l, f.uint("a length", l.left))
	case opAdd:
		return a.add(ctx, l, f.uint("a length", min(l.left, residual.MaxRun)))
	case opNew:
		return a.bytes(l, f.uint("a length", l.left), &rest[literals])
	case opBetween:
		return a.bytes(l, f.uint("a length", l.left), &rest[between])
	case opPart:
		return a.unwrap(ctx, f)
	case opBegin:
		return a.begin(l, f)
	case opDone:
		return a.done(ctx, l)
	case opDrop:
		return a.sources.drop(int(f.uint("a slot", 1<<40)))
	default:
		return fmt.Errorf("%w: operation %d is unknown", ErrInvalid, op)
	}
	return nil
}

// copy writes n bytes of the current source.
func (a *applier) copy(ctx context.Context, l *level, n int64) error {
	for n > 0 {
		b := a.buf[:min(n, int64(len(a.buf)))]
		if err := a.sources.read(ctx, l.cursor, b); err != nil {
			return err
		}
		if err := a.put(l, b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// add writes n bytes of the current source with differences.
func (a *applier) add(ctx context.Context, l *level, n int64) error {
	b := a.buf[:n]
	if err := a.sources.read(ctx, l.cursor, b); err != nil {
		return err
	}
	if err := a.batches.add(l.cursor.where(), b); err != nil {
		return err
	}
	return a.put(l, b)
}

// put writes bytes that came from the current source.
func (a *applier) put(l *level, b []byte) error {
	a.work.made += int64(len(b))
	l.cursor.at += int64(len(b))
	l.cursor.place.Made += int64(len(b))
	l.left -= int64(len(b))
	_, err := l.sink.Write(b)
	return err
}

// bytes writes n bytes of a stream.
func (a *applier) bytes(l *level, n int64, from *[]byte) error {
	if n > int64(len(*from)) {
		return fmt.Errorf("%w: new bytes are missing", ErrInvalid)
	}
	b := (*from)[:n]
	*from = (*from)[n:]
	l.left -= n
	a.work.made += n
	l.cursor.place.Made += n
	_, err := l.sink.Write(b)
	return err
}
