package delta

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/tree"
)

// coder codes the content of one file.
type coder struct {
	m    *maker
	s    *script
	item Item
	data *blob  // the content; nil when a file of the seed is the same
	same File   // that one
	like []File // of the seed, that it may come from
}

// load reads the content, or past it when the seed has the same.
func (c *coder) load(h *tar.Header, r io.Reader) error {
	path, err := tree.CleanPath(h.Name, tree.Limits{}.OrDefault())
	if err != nil {
		path = h.Name
	}
	c.item.Path = path
	e, known := c.m.entries[path]
	known = known && e.Size == h.Size
	sum := sha256.New()
	w := io.Writer(sum)
	if known {
		c.same, known = c.m.source(c.m.finder.Same(e.Digest, e.Size))
	}
	if !known {
		c.data = newBlob(c.m.memory, c.m.o.Scratch)
		w = c.data
	}
	if n, err := io.Copy(w, r); err != nil || n != h.Size {
		return errors.Join(fmt.Errorf("read %d of %d bytes of %.200q: %w", n, h.Size, path, err), c.close())
	}
	if known {
		if tree.Digest(sum.Sum(nil)) != e.Digest {
			return fmt.Errorf("%w: %.200q in the tar stream is not what the layer's index says", ErrInvalid, path)
		}
		return nil
	}
	for _, f := range c.m.finder.Like(path, h.Size) {
		if f, ok := c.m.source(f, true); ok {
			c.like = append(c.like, f)
		}
	}
	return nil
}

// source passes a file of the seed on if it is among the header's.
func (m *maker) source(f File, ok bool) (File, bool) {
	if ok {
		_, ok = m.sources[f.Path]
	}
	return f, ok
}

func (c *coder) close() error {
	if c.data == nil {
		return nil
	}
	return c.data.Close()
}

// code writes the operations that make the content.
func (c *coder) code(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	if c.data == nil {
		c.item.How, c.item.Source = Same, c.same.Path
		if err := c.s.copy(fileRef(c.m.sources[c.same.Path]), 0, c.item.Size); err != nil {
			return err
		}
		return c.s.end()
	}
	if err := c.patch(ctx); err != nil {
		return err
	}
	return c.s.end()
}

// patch codes the content as it is.
func (c *coder) patch(ctx context.Context) error {
	var old []match.Source
	var refs []ref
	for _, f := range c.like {
		content, err := c.m.o.Contents.Open(ctx, f)
		if err != nil {
			return fmt.Errorf("open %.200q of the seed: %w", f.Path, err)
		}
		defer content.Close() //nolint:errcheck // only read
		old, refs = append(old, content), append(refs, fileRef(c.m.sources[f.Path]))
	}
	c.item.How = Whole
	return match.Match(ctx, old, c.data, match.Options{Memory: c.m.o.Memory / int64(c.m.o.Parallel)},
		func(op match.Op) error {
			switch {
			case op.Source < 0:
				return c.s.bytes(opNew, literals, op.Data)
			case op.Data == nil:
				c.item.How, c.item.Source = Patch, c.like[op.Source].Path
				return c.s.copy(refs[op.Source], op.At, int64(op.Length))
			}
			c.item.How, c.item.Source = Patch, c.like[op.Source].Path
			return c.s.add(refs[op.Source], op.At, op.Data)
		})
}
