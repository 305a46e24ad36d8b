package rechunk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/tree"
)

// CommitOf finds out that an image in ostree's form is what Rechunk makes of a source, and returns what it is to say of its
// commit then: the source's tree is encapsulated once more, which has to give the same commit, and the image's layers are
// held to its objects. Whatever else they have of a repository is refused, but for objects of kept layers that are not used
// any longer, which have to be what they are called. An error that wraps ErrNotSame says what differs. Names and contents
// outside of the repository, and what the image says of itself, are the caller's to compare.
func (i *Inspection) CommitOf(ctx context.Context, source *Inspection) (*image.Commit, error) {
	c, err := source.run.newCapsule(ctx)
	if err != nil {
		return nil, err
	}
	if got := i.Image.Config.Config.Labels[image.LabelCommit]; got != c.announced().Checksum {
		return nil, fmt.Errorf("%w: the source's commit is %s, the image has %.100q", ErrNotSame, c.announced().Checksum,
			got)
	}
	h := &held{capsule: c, image: i, repository: map[string]*tree.Entry{}, found: map[string]bool{}}
	for _, e := range repository() {
		h.repository[e.Path] = e
	}
	for k := range c.commit {
		e := file(c.commit[k].Path(), string(c.commit[k].Data))
		h.repository[e.Path] = e
	}
	for _, x := range i.Layers {
		if err := h.layer(ctx, x); err != nil {
			return nil, err
		}
	}
	if err := h.complete(); err != nil {
		return nil, err
	}
	if err := source.run.readTheirPlan(ctx); err != nil {
		return nil, err
	}
	var annotations []map[string]string
	for _, l := range i.Image.Manifest.Layers {
		annotations = append(annotations, l.Annotations)
	}
	commit := c.announced()
	commit.HHD, err = source.run.theirs.label(annotations)
	return commit, err
}

// held are the layers of an image on their way through CommitOf.
type held struct {
	*capsule
	image      *Inspection
	repository map[string]*tree.Entry // what there is besides the objects of files
	found      map[string]bool
}

// layer checks what a layer has of the repository.
func (h *held) layer(ctx context.Context, x *tree.Index) error {
	t := &tree.Tree{Entries: x.Entries}
	start, _ := t.Find("sysroot/")
	for i := start; i < len(t.Entries) && tree.Within(t.Entries[i].Path, "sysroot"); i++ {
		e := &t.Entries[i]
		ok, err := h.sound(ctx, t, e)
		if err != nil {
			return fmt.Errorf("reading %s: %w", e.Path, err)
		}
		if !ok {
			return fmt.Errorf("%w: %.200q is no object of the source", ErrNotSame, e.Path)
		}
		h.found[e.Path] = true
	}
	for _, p := range slices.Concat(x.Whiteouts, x.Opaque) {
		if tree.Within(p, "sysroot") || tree.Within("sysroot", p) {
			return fmt.Errorf("%w: %.200q is taken away", ErrNotSame, p)
		}
	}
	return nil
}

// sound reports whether a layer's entry is one that a repository with the commit may have, and what it is called.
func (h *held) sound(ctx context.Context, t *tree.Tree, e *tree.Entry) (bool, error) {
	if want := h.repository[e.Path]; want != nil {
		return e.Same(want), nil
	}
	if sum, ok := ostree.AttributesObject(e.Path); ok {
		return e.Kind == tree.Regular && t.Lookup(ostree.ObjectPath(sum)) != nil, nil
	}
	sum, ok := ostree.FileObject(e.Path)
	if !ok {
		return false, nil
	}
	attrs := t.Lookup(ostree.AttributesPath(sum))
	if attrs == nil {
		return false, nil
	}
	if k, live := h.first[sum]; live {
		want := h.tree.Entries[k]
		want.Path, want.Xattrs = e.Path, shown(&want)
		return e.Same(&want) && attrs.Digest == sha256.Sum256([]byte(h.attrs[k])), nil
	}
	if e.Kind != tree.Regular && e.Kind != tree.Symlink {
		return false, nil
	}
	raw, err := ostree.ReadAttributes(attrs, h.image.Contents(ctx))
	if err != nil {
		return false, err
	}
	got, err := objectSum(e, raw, h.image.Contents(ctx))
	return got == sum, err
}

// complete reports what of the commit is in no layer.
func (h *held) complete() error {
	for p := range h.repository {
		if !h.found[p] {
			return fmt.Errorf("%w: %s is missing", ErrNotSame, p)
		}
	}
	for sum, k := range h.first {
		if !h.found[ostree.ObjectPath(sum)] {
			return fmt.Errorf("%w: the object of %.200q is missing", ErrNotSame, h.tree.Entries[k].Path)
		}
	}
	return nil
}
