package rechunk

import (
	"context"
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/selinux"
	"github.com/strata-oci/strata/rechunk/tree"
)

// policy is an image's SELinux policy: labels by kind of file.
type policy map[tree.Kind]*selinux.Labels

// readPolicy reads the policy of an image; one that has none has no labels.
func readPolicy(open selinux.Open) (policy, error) {
	p := policy{}
	for kind, typ := range map[tree.Kind]selinux.Type{
		tree.Dir: selinux.Directory, tree.Regular: selinux.Regular, tree.Symlink: selinux.Symlink,
	} {
		l, err := selinux.ReadFor(typ, open)
		if err != nil {
			return nil, err
		}
		if l != nil {
			p[kind] = l
		}
	}
	return p, nil
}

// labelled tells what clients label in a source image, for ostree.Plain, by the policy, which is read when it is first
// needed. Without a policy in the image, its commit was labelled by another one, unless Strata made it. When the labels
// cannot be told all count as the policy's.
func (r *run) labelled(ctx context.Context, t *tree.Tree) func(kind tree.Kind, path string) (bool, error) {
	var p policy
	var err error
	made := r.src.Manifest.Annotations[image.AnnotationSource] != ""
	return func(kind tree.Kind, path string) (bool, error) {
		if p == nil && err == nil {
			p, err = readPolicy(func(path string) (io.ReadCloser, error) {
				e := t.Lookup(path)
				if e == nil || e.Kind != tree.Regular {
					return nil, nil
				}
				return r.contents.open(ctx, e.Digest)
			})
		}
		if err == nil && len(p) == 0 {
			return !made, nil
		}
		label := ""
		if l := p[kind]; l != nil && err == nil {
			label, err = l.OfObject(path)
		}
		if errors.Is(err, selinux.ErrPolicy) {
			return true, nil
		}
		return label != "", err
	}
}

// label serialises the attributes of all entries, with the labels that the policy in the image gives.
func (c *capsule) label(open selinux.Open) error {
	labels, err := readPolicy(open)
	if err != nil {
		return err
	}
	type key struct {
		first *tree.Xattr // of a list, which many entries share
		label string
	}
	made := map[key]string{}
	c.attrs = make([]string, len(c.tree.Entries))
	for i := range c.tree.Entries {
		e := &c.tree.Entries[i]
		if !ostree.InCommit(e.Path) {
			continue
		}
		var k key
		var err error
		if l := labels[e.Kind]; l != nil {
			if k.label, err = l.OfObject(e.Path); err != nil {
				return err
			}
		}
		if len(e.Xattrs) > 0 {
			k.first = &e.Xattrs[0]
		}
		a, ok := made[k]
		if !ok {
			a = string(ostree.Attributes(e.Xattrs, k.label))
			made[k] = a
		}
		c.attrs[i] = a
	}
	return nil
}
