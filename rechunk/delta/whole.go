package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// better makes the content of its sources, or of new bytes when these are fewer: of programs that were built anew with
// another compiler, differences and operations may cost more than all that is in them. What is too large to be held is made
// of its sources.
func (c *coder) better(ctx context.Context, olds []*old) error {
	if len(olds) == 0 || c.data.Size() > c.m.o.Memory/8 {
		return c.level(ctx, c.s, c.data, c.kids, olds, 0)
	}
	promised := slices.ContainsFunc(c.kids, func(n *node) bool { return n.kept >= 0 || n.must() })
	h := newHole()
	if err := c.level(ctx, h.script, c.data, c.kids, olds, 0); err != nil {
		return err
	}
	if err := h.script.flush(); err != nil {
		return err
	}
	patch := c.m.estimate(h.chunks)
	c.s.cursor = cursor{source: noRef}
	if patch < c.data.Size()/8 || h.script.seconds > 0 || promised {
		return c.s.merge(h)
	}
	whole, err := c.m.compressed(c.data)
	if err != nil {
		return err
	}
	if patch <= whole {
		return c.s.merge(h)
	}
	c.item.Source, c.came = "", 0
	c.item.Why = "the seed's file is too different"
	return c.level(ctx, c.s, c.data, nil, nil, 0)
}

// compressed is about what all of a content is in a delta as new bytes.
func (m *maker) compressed(data *blob) (int64, error) {
	var n int64
	buf, packed := make([]byte, 1<<20), []byte(nil)
	for at := int64(0); at < data.Size(); at += int64(len(buf)) {
		k, err := data.ReadAt(buf[:min(int64(len(buf)), data.Size()-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read a content: %w", err)
		}
		packed = m.packer.EncodeAll(buf[:k], packed[:0])
		n += int64(len(packed))
	}
	return n, nil
}
