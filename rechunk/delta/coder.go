package delta

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// coder codes the content of one file.
type coder struct {
	m     *maker
	s     *script
	trier *wrap.Trier // nil when nothing is wrapped again
	item  Item
	data  *blob   // the content; nil when a source has the same
	same  ref     // that one
	like  []File  // of the seed, that it may come from
	kids  []*node // what is wrapped in it
	kept  int     // the number under which it is kept, or -1
	came  int64   // bytes of the source that most come from
	room  *match.Room

	broken bool // it could not be made
}

// heldMost is how large a file may be that is held although a source should have the same content: a path may be in a tar
// stream more than once, and the index tells of the last one.
const heldMost = 1 << 20

// load reads the content, or past it when a source has the same.
func (c *coder) load(ctx context.Context, h *tar.Header, r io.Reader) error {
	path, err := tree.CleanPath(h.Name, tree.Limits{}.OrDefault())
	if err != nil {
		path = h.Name
	}
	c.item.Path, c.kept = path, -1
	e, known := c.m.entries[path]
	known = known && e.Size == h.Size
	same := known && c.find(e)
	sum := sha256.New()
	w := io.Writer(sum)
	if !same || h.Size <= heldMost {
		c.data = newBlob(c.m.memory)
		w = io.MultiWriter(sum, c.data)
	}
	if n, err := io.Copy(w, r); err != nil || n != h.Size {
		return fmt.Errorf("read %d of %d bytes of %.200q: %w", n, h.Size, path, err)
	}
	d := tree.Digest(sum.Sum(nil))
	if same && d != e.Digest { // another file of that path comes later
		if c.data == nil {
			return fmt.Errorf("%w: %.200q in the tar stream is not what the layer's index says", ErrInvalid, path)
		}
		same, c.item.Source = false, ""
	}
	kept := c.m.again.pass(d, h.Size)
	if same {
		return c.close()
	}
	c.kept = kept
	for _, f := range c.m.finder.Near(path, h.Size) {
		if f, ok := c.m.source(f, true); ok {
			c.like = append(c.like, f)
		}
	}
	return c.parse(ctx)
}

// find looks for a source with an entry's content.
func (c *coder) find(e tree.Entry) bool {
	if n, ok := c.m.again.kept[e.Digest]; ok {
		c.same = keptRef(n)
		return true
	}
	f, ok := c.m.source(c.m.finder.Same(e.Digest, e.Size))
	if ok {
		c.same, c.item.Source = fileRef(c.m.sources[f.Path]), f.Path
	}
	return ok
}

// parse finds what is wrapped in the content.
func (c *coder) parse(ctx context.Context) error {
	if c.trier == nil {
		return nil
	}
	parts, err := wrap.Parse(ctx, c.data, wrap.DefaultLimits(), c.m.o.Scratch)
	if err != nil {
		return fmt.Errorf("look into %.200q: %w", c.item.Path, err)
	}
	c.kids = nodes(c.data, c.m.allowance.parts(parts), 0, "", c.m.again.want)
	return c.register(ctx, c.kids, c.item.Size)
}

// source passes a file of the seed on if it is among the header's.
func (m *maker) source(f File, ok bool) (File, bool) {
	if ok {
		_, ok = m.sources[f.Path]
	}
	return f, ok
}

// close frees what load has taken.
func (c *coder) close() error {
	var errs []error
	for _, n := range c.kids {
		errs = append(errs, n.close())
	}
	if c.data != nil {
		errs = append(errs, c.data.Close())
		c.data = nil
	}
	return errors.Join(errs...)
}

// code writes the operations that make the content.
func (c *coder) code(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, c.close()) }()
	if c.data == nil {
		c.item.How = Same
		if err := c.s.copy(c.same, 0, c.item.Size); err != nil {
			return err
		}
		return c.s.end()
	}
	if err := c.choose(ctx); err != nil {
		return err
	}
	var olds []*old
	for _, f := range c.like {
		o, err := c.m.oldFile(ctx, f, len(c.kids) > 0)
		if err != nil {
			return err
		}
		defer o.close() //nolint:errcheck // only read
		olds = append(olds, o)
	}
	if c.kept >= 0 {
		c.s.begin(nil, c.kept, c.item.Size, 0, nil)
	}
	if err := c.better(ctx, olds); err != nil {
		return err
	}
	if c.kept >= 0 {
		c.s.done()
	}
	c.tell()
	return c.s.end()
}

// tell completes what the report says of the content.
func (c *coder) tell() {
	c.item.Seconds = c.s.seconds
	switch {
	case c.s.seconds > 0:
		c.item.How = Wrapped
	case c.item.Source != "":
		c.item.How = Patch
	default:
		c.item.How = Whole
	}
}

// from notes how much comes from each of some sources.
func (c *coder) from(olds []*old, bytes []int64) {
	for i, o := range olds {
		if bytes[i] > c.came {
			c.came, c.item.Source = bytes[i], o.path
		}
	}
}
