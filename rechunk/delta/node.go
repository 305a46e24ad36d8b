package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/strata-oci/strata/rechunk/delta/match"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// node is a part of a content: something compressed, or a member of an archive that is used again.
type node struct {
	in      match.Source // the plain bytes that it is a run of
	at, n   int64        // that run
	decoder string       // of the run; "" when it is plain
	size    int64        // of the plain bytes
	name    string       // the member's path, if it is one
	kids    []*node      // of the plain bytes
	part    wrap.Part    // for who looks for the encoder
	kept    int          // the number under which its bytes are kept, or -1
	tried   bool         // the encoder was looked for
	plain   *blob        // once it was decoded
	limit   int64        // of what is decoded, where size is not known before
}

// nodes lists the compressed parts of a content, in their order. Parts that are plain only say where others lie; with want,
// those are nodes, too, that it says are used again.
func nodes(in match.Source, parts []wrap.Part, base int64, name string, want func(size int64) bool) []*node {
	var list []*node
	for _, p := range parts {
		inner := p.Name
		if inner == "" {
			inner = name
		}
		at := base + p.Offset
		switch {
		case p.Decoder != "":
			list = append(list, newNode(in, p, at, inner))
		case want == nil || p.Name == "" || !want(p.Size) || covers(p):
			list = append(list, nodes(in, p.Parts, at, inner, want)...)
		default:
			n := newNode(in, p, at, inner)
			n.kids = nodes(n.section(), p.Parts, 0, inner, want)
			list = append(list, n)
		}
	}
	return list
}

func newNode(in match.Source, p wrap.Part, at int64, name string) *node {
	p.Offset = at
	return &node{in: in, at: at, n: p.Length, decoder: p.Decoder, size: p.Size, name: name, part: p, kept: -1}
}

// tokens is the part with nothing but its entropy coding undone; nil if that can't be. How large the tokens are is known
// when they were decoded.
func (n *node) tokens() *node {
	decoder := wrap.Tokens(n.decoder)
	if decoder == "" {
		return nil
	}
	t := &node{in: n.in, at: n.at, n: n.n, decoder: decoder, size: -1, name: n.name, part: n.part, kept: n.kept,
		limit: n.most()}
	t.part.Decoder, t.part.Parts, t.part.Encoder = decoder, nil, nil
	return t
}

// form is k undone as n is: to its tokens, too, if that is what n gives.
func (n *node) form(k *node) *node {
	if n.decoder != "" && n.decoder == wrap.Tokens(k.decoder) {
		return k.tokens()
	}
	return k
}

// covers reports whether all of a member is one compressed part.
func covers(p wrap.Part) bool {
	return len(p.Parts) == 1 && p.Parts[0].Decoder != "" && p.Parts[0].Length == p.Length
}

// section is the node's bytes as they are in its parent.
func (n *node) section() *io.SectionReader { return io.NewSectionReader(n.in, n.at, n.n) }

// digest is that of the node's bytes as they are in its parent.
func (n *node) digest() (tree.Digest, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, n.section()); err != nil {
		return tree.Digest{}, fmt.Errorf("read a part: %w", err)
	}
	return tree.Digest(sum.Sum(nil)), nil
}

// errNoPart says that what looked like a part is none.
var errNoPart = errors.New("it can't be unwrapped")

// decode gives the node's plain bytes, which are the node's. It fails with errNoPart when there are none.
func (n *node) decode(ctx context.Context, m *maker) (match.Source, error) {
	if n.decoder == "" {
		return n.section(), nil
	}
	if n.plain != nil {
		return n.plain, nil
	}
	b := newBlob(m.memory)
	lim := wrap.DefaultLimits()
	lim.Plain = n.size
	if n.size < 0 {
		lim.Plain = min(m.o.Memory/4, n.limit)
	}
	err := wrap.Decode(ctx, n.decoder, n.section(), b, lim)
	if err == nil && n.size < 0 {
		n.size, n.part.Size = b.Size(), b.Size()
	}
	if err == nil && b.Size() == n.size {
		n.plain = b
		return b, nil
	}
	if err == nil || errors.Is(err, wrap.ErrInvalid) || errors.Is(err, wrap.ErrLimit) {
		return nil, errors.Join(errNoPart, b.Close())
	}
	return nil, errors.Join(fmt.Errorf("unwrap a part: %w", err), b.Close())
}

// open decodes the node, and lists what is in it.
func (n *node) open(ctx context.Context, m *maker, want func(int64) bool) (match.Source, error) {
	first := n.plain == nil && n.kids == nil
	plain, err := n.decode(ctx, m)
	if err == nil && first {
		n.kids = nodes(plain, n.part.Parts, 0, "", want)
	}
	return plain, err
}

// close frees the plain bytes, and those of what is in them.
func (n *node) close() error {
	var errs []error
	for _, k := range n.kids {
		errs = append(errs, k.close())
	}
	if n.plain != nil {
		errs = append(errs, n.plain.Close())
		n.plain, n.kids = nil, nil // which lie in it
	}
	return errors.Join(errs...)
}

// old is something of the seed that bytes may come from.
type old struct {
	ref   ref
	slot  int // that it takes, or -1
	data  match.Source
	path  string // of the file
	kids  []*node
	known map[tree.Digest]bool // the kids' bytes, as they are; nil when not looked at
	named map[string][]*node   // kids by name without versions
	close func() error
}

// openOld opens a file of the seed, which must have its length.
func openOld(ctx context.Context, from Contents, f File) (Content, error) {
	c, err := from.Open(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%.200q of the seed: %w", f.Path, err)
	}
	if c.Size() != f.Size {
		return nil, errors.Join(fmt.Errorf("%w: %.200q has %d bytes, not %d", ErrSource, f.Path, c.Size(), f.Size),
			c.Close())
	}
	return c, nil
}

// oldFile opens a file of the seed, and finds what is wrapped in it.
func (m *maker) oldFile(ctx context.Context, f File, wrapped bool) (*old, error) {
	c, err := openOld(ctx, m.o.Contents, f)
	if err != nil {
		return nil, err
	}
	o := &old{ref: fileRef(m.sources[f.Path]), slot: -1, data: c, path: f.Path, close: c.Close}
	if !wrapped {
		return o, nil
	}
	parts, err := wrap.Parse(ctx, c, wrap.DefaultLimits(), m.o.Scratch)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%.200q of the seed: %w", f.Path, err), c.Close())
	}
	o.list(nodes(c, parts, 0, "", nil))
	return o, nil
}

func (o *old) list(kids []*node) {
	o.kids, o.named = kids, map[string][]*node{}
	for _, k := range kids {
		if k.name != "" {
			key := unversioned(k.name)
			o.named[key] = append(o.named[key], k)
		}
	}
}

// has reports whether a kid has the same bytes as n.
func (o *old) has(n *node) (bool, error) {
	if o.known == nil {
		o.known = map[tree.Digest]bool{}
		for _, k := range o.kids {
			d, err := k.digest()
			if err != nil {
				return false, err
			}
			o.known[d] = true
		}
	}
	if len(o.known) == 0 {
		return false, nil
	}
	d, err := n.digest()
	return o.known[d], err
}

// like returns the kid that n may have come from: of the same name, or in the same place.
func (o *old) like(n *node, place int) *node {
	if n.name != "" {
		list := o.named[unversioned(n.name)]
		if len(list) == 0 {
			return nil
		}
		return slices.MaxFunc(list[:min(len(list), most)], func(a, b *node) int {
			return likeness(a.name, n.name) - likeness(b.name, n.name)
		})
	}
	for _, k := range o.kids {
		if k.name != "" {
			continue
		}
		if place == 0 {
			return k
		}
		place--
	}
	return nil
}
