package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// hole is a part of a content that is made by operations of its own, not matched with the rest.
type hole struct {
	at, n  int64
	chunks []chunk
	script *script
}

// holes decides which parts of a content are made by themselves, and how.
func (c *coder) holes(ctx context.Context, kids []*node, olds []*old, slots int) ([]hole, error) {
	var list []hole
	unnamed := 0
	for _, k := range kids {
		if k.decoder == "" && k.kept < 0 { // it only says where others lie
			inner, err := c.holes(ctx, k.kids, olds, slots)
			if err != nil {
				return nil, err
			}
			for _, h := range inner {
				h.at += k.at
				list = append(list, h)
			}
			continue
		}
		h, err := c.hole(ctx, k, unnamed, olds, slots)
		if err = errors.Join(err, k.close()); err != nil {
			return nil, err
		}
		if h != nil {
			h.at, h.n = k.at, k.n
			list = append(list, *h)
		}
		if k.name == "" {
			unnamed++
		}
	}
	return list, nil
}

// hole decides on one part; nil leaves it to the rest. What is kept, and what has that in it, is always made by itself:
// files that come later are copies of it.
func (c *coder) hole(ctx context.Context, n *node, place int, olds []*old, slots int) (*hole, error) {
	h, err := c.wrapped(ctx, n, place, olds, slots)
	if errors.Is(err, errNoPart) {
		h, err = nil, nil
	}
	if h != nil || err != nil || n.kept < 0 {
		return h, err
	}
	h = newHole()
	h.script.begin(nil, n.kept, n.n, 0, nil)
	kids := n.kids
	if n.decoder != "" {
		kids = nil
	}
	if err := c.level(ctx, h.script, n.section(), kids, olds, slots); err != nil {
		return nil, err
	}
	h.script.done()
	return h, h.script.flush()
}

func newHole() *hole {
	h := &hole{}
	h.script = newScript(-1, func(c chunk) error { h.chunks = append(h.chunks, c); return nil })
	return h
}

// leastWrapped is how many bytes a compressed part has at least that is made of its plain ones.
const leastWrapped = 64

// wrapped makes a part of its plain bytes, if that can be done and pays; of its tokens, where no encoder makes it again, or
// not soon enough; else it returns nil.
func (c *coder) wrapped(ctx context.Context, n *node, place int, olds []*old, slots int) (*hole, error) {
	if n.decoder == "" || n.size > c.m.o.Memory/4 || n.n < leastWrapped {
		return nil, nil
	}
	if n.kept < 0 && !n.must() {
		for _, o := range olds {
			if same, err := o.has(n); same || err != nil {
				return nil, err
			}
		}
	}
	why := c.item.Why
	h, unmade, err := c.form(ctx, n, place, olds, slots)
	if !unmade || err != nil || n.must() {
		return h, err
	}
	t := n.tokens()
	if t == nil {
		return nil, nil
	}
	if h, _, err = c.form(ctx, t, place, olds, slots); h != nil {
		c.item.Why = why
	}
	return h, errors.Join(err, t.close())
}

// form makes a part of what its decoder gives. When that would pay but for the encoder, it returns nil and true.
func (c *coder) form(ctx context.Context, n *node, place int, olds []*old, slots int) (h *hole, unmade bool, err error) {
	plain, err := n.open(ctx, c.m, nil)
	if err != nil {
		return nil, false, err
	}
	must := n.must()
	o, define, err := c.counterpart(ctx, n, place, olds, slots)
	if o == nil && err == nil && must {
		o, define = &old{ref: noRef, slot: -1, close: func() error { return nil }}, func(*script) {}
	}
	if o == nil || err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if o.slot >= 0 {
		slots++
	}
	h = newHole()
	if err := c.inside(ctx, h.script, n, plain, o, slots); err != nil {
		return nil, false, err
	}
	saved := n.n - c.m.estimate(h.chunks)
	if (saved < 64 || saved < n.n/16 && n.kept < 0) && !must {
		c.why(n, "the plain bytes are too different")
		return nil, false, nil
	}
	if err := c.try(ctx, n); err != nil {
		return nil, false, err
	}
	switch e := n.part.Encoder; {
	case e == nil:
		c.why(n, "no encoder makes the same bytes")
		return nil, true, nil
	case float64(saved) < float64(c.m.o.Worth)*n.part.Seconds && !must:
		c.why(n, "the encoder takes longer than the bytes")
		return nil, true, nil
	}
	h, err = c.enclose(n, h, o, define)
	return h, false, err
}

// inside makes the plain bytes of a part.
func (c *coder) inside(ctx context.Context, s *script, n *node, plain match.Source, o *old, slots int) error {
	var olds []*old
	if o.data != nil {
		olds = append(olds, o)
	}
	if err := c.level(ctx, s, plain, n.kids, olds, slots); err != nil {
		return err
	}
	return s.flush()
}

// enclose puts the operations of a part's plain bytes between those that begin and end it.
func (c *coder) enclose(n *node, h *hole, o *old, define func(*script)) (*hole, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, n.section()); err != nil {
		return nil, fmt.Errorf("read a part: %w", err)
	}
	out := newHole()
	define(out.script)
	out.script.begin(n.part.Encoder, n.kept, n.size, n.n, sum.Sum(nil)[:checkBytes])
	if err := out.script.merge(h); err != nil {
		return nil, err
	}
	out.script.done()
	if o.slot >= 0 {
		out.script.op(opDrop, int64(o.slot))
	}
	out.script.seconds += n.part.Seconds
	return out, out.script.flush()
}

// must reports whether something in n is kept, so that it must be made.
func (n *node) must() bool {
	for _, k := range n.kids {
		if k.kept >= 0 || k.must() {
			return true
		}
	}
	return false
}

// try looks for the encoder of a part.
func (c *coder) try(ctx context.Context, n *node) error {
	if n.tried {
		return nil
	}
	n.tried = true
	err := c.trier.Try(ctx, n.in, &n.part)
	if errors.Is(err, wrap.ErrInvalid) || errors.Is(err, wrap.ErrLimit) {
		n.part.Encoder, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("look for an encoder: %w", err)
	}
	return nil
}

// why notes what stood in the way, for the report.
func (c *coder) why(n *node, reason string) {
	if c.item.Why == "" {
		c.item.Why = reason
		if n.name != "" {
			c.item.Why = fmt.Sprintf("%s: %.200s", n.name, reason)
		}
	}
}

// counterpart finds the plain bytes of the seed that a part's may come from. They are the caller's to close. define writes
// the operations that make them a source.
func (c *coder) counterpart(ctx context.Context, n *node, place int, olds []*old, slots int) (
	o *old, define func(*script), err error,
) {
	for _, o := range olds {
		if k := o.like(n, place); k != nil {
			return c.unwrapped(ctx, n, o, n.form(k), slots, func() error { return nil })
		}
	}
	if n.name == "" {
		return nil, nil, nil
	}
	for _, f := range c.m.finder.Like(n.name, n.n) {
		f, ok := c.m.source(f, true)
		if !ok {
			continue
		}
		o, err := c.m.oldFile(ctx, f, true)
		if err != nil {
			return nil, nil, err
		}
		if len(o.kids) == 1 && o.kids[0].n == o.data.Size() {
			return c.unwrapped(ctx, n, o, n.form(o.kids[0]), slots, o.close)
		}
		return o, func(*script) {}, nil
	}
	return nil, nil, nil
}

// unwrapped makes a source of a part of one, for a node that is like it.
func (c *coder) unwrapped(ctx context.Context, n *node, in *old, k *node, slots int, closing func() error) (
	*old, func(*script), error,
) {
	if k.n+k.size > n.most() {
		return nil, nil, closing()
	}
	plain, err := k.open(ctx, c.m, nil)
	if errors.Is(err, errNoPart) || err == nil && k.n+k.size > n.most() { // how many tokens there are is known now
		return nil, nil, errors.Join(k.close(), closing())
	}
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	o := &old{ref: slotRef(slots), slot: slots, data: plain, path: in.path,
		close: func() error { return errors.Join(k.close(), closing()) }}
	o.list(k.kids)
	define := func(s *script) { s.part(slots, in.ref, k.at, k.n, decoderNumber(k.decoder), k.size) }
	return o, define, nil
}

// decoderNumber is a decoder's number in a delta; those of package wrap all have one.
func decoderNumber(name string) int {
	for i, d := range decoders {
		if d == name {
			return i
		}
	}
	return 0
}

// level makes a content: its parts that are made by themselves, and the rest of the bytes by matching.
func (c *coder) level(ctx context.Context, s *script, data match.Source, kids []*node, olds []*old, slots int) error {
	holes, err := c.holes(ctx, kids, olds, slots)
	if err != nil {
		return err
	}
	w := &woven{s: s, holes: holes, olds: olds, bytes: make([]int64, len(olds))}
	rest := match.Source(data)
	if len(holes) > 0 {
		if rest, err = c.rest(data, holes); err != nil {
			return err
		}
		defer rest.(*blob).Close() //nolint:errcheck,forcetypeassert // what rest returns; a temporary file
	}
	var sources []match.Source
	for _, o := range olds {
		sources = append(sources, o.data)
	}
	outside := s.machine
	if s.machine, err = machine(data); err != nil {
		return err
	}
	defer func() { s.machine = outside }()
	if err := match.Match(ctx, sources, rest, match.Options{Memory: c.m.share(), Room: c.room}, w.op); err != nil {
		return err
	}
	c.from(olds, w.bytes)
	return w.fill()
}

// rest is a content without its holes.
func (c *coder) rest(data match.Source, holes []hole) (*blob, error) {
	b := newBlob(c.m.memory)
	var at int64
	for _, h := range append(holes, hole{at: data.Size()}) {
		if _, err := io.Copy(b, io.NewSectionReader(data, at, h.at-at)); err != nil {
			return nil, errors.Join(fmt.Errorf("read a content: %w", err), b.Close())
		}
		at = h.at + h.n
	}
	return b, nil
}

// woven writes the operations of a content with those of its holes among them.
type woven struct {
	s     *script
	holes []hole
	olds  []*old
	at    int64   // in the content
	bytes []int64 // that come from each of olds
}

// op takes what matching found for the next bytes between holes.
func (w *woven) op(op match.Op) error {
	for op.Length > 0 {
		n := op.Length
		if len(w.holes) > 0 {
			if err := w.fill(); err != nil {
				return err
			}
			if len(w.holes) > 0 {
				n = int(min(int64(n), w.holes[0].at-w.at))
			}
		}
		if err := w.piece(op, n); err != nil {
			return err
		}
		w.at += int64(n)
		op.At, op.Length = op.At+int64(n), op.Length-n
		if op.Data != nil {
			op.Data = op.Data[n:]
		}
		if op.Old != nil {
			op.Old = op.Old[n:]
		}
	}
	return nil
}

// piece writes the first n bytes of an operation.
func (w *woven) piece(op match.Op, n int) error {
	if op.Source >= 0 {
		w.bytes[op.Source] += int64(n)
	}
	switch {
	case op.Source < 0:
		return w.s.bytes(opNew, literals, op.Data[:n])
	case op.Data == nil || bytes.Count(op.Data[:n], []byte{0}) == n:
		return w.s.copy(w.olds[op.Source].ref, op.At, int64(n))
	}
	return w.s.add(w.olds[op.Source].ref, op.At, op.Old[:n], op.Data[:n])
}

// fill writes the holes that come next.
func (w *woven) fill() error {
	for len(w.holes) > 0 && w.holes[0].at == w.at {
		h := w.holes[0]
		w.holes = w.holes[1:]
		if err := w.s.merge(&h); err != nil {
			return err
		}
		w.at += h.n
	}
	return nil
}
