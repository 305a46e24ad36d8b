package rechunk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/selinux"
	"github.com/strata-oci/strata/rechunk/tree"
)

// FormOSTree is the Version.Form of ostree-encapsulated images.
const FormOSTree = "ostree"

// commitLayer is the name of the layer that holds the commit, which is the lowest.
const commitLayer = "ostree commit"

// capsule is an image in ostree's form: which object each of its files is. The tree's entries have no times, and names of
// one object are one hardlink group.
type capsule struct {
	tree *tree.Tree
	// objects is the tree as the plan sees it: the same entries, those of files that are objects with the object's checksum
	// for a digest and without what that stands for.
	objects *tree.Tree
	sums    []ostree.Checksum // zero for what is no object
	first   map[ostree.Checksum]int
	attrs   []string // serialised attributes
	known   map[tree.Digest][]byte
	commit  []ostree.Object
	linux   string // version of the kernel, "" unless there is one
}

// form is the Version.Form of what is made.
func (r *run) form() string {
	if r.plain && r.req.Options.OSTree {
		return FormOSTree
	}
	return ""
}

// layoutTree is the tree that the layout is about.
func (r *run) layoutTree() *tree.Tree {
	if r.capsule != nil {
		return r.capsule.objects
	}
	return r.tree
}

// encapsulate finds the objects of the tree, and what the layers of earlier images have of them.
func (r *run) encapsulate(ctx context.Context) error {
	if r.form() != FormOSTree {
		if r.req.Options.OSTree {
			r.cfg.Logger.WarnContext(ctx, "image is not written in ostree's form: label it containers.bootc=1 if it is bootable",
				"source", r.req.Digest)
		}
		return nil
	}
	c, err := r.newCapsule(ctx)
	if err != nil {
		return err
	}
	r.tree, r.capsule = c.tree, c
	for k := range r.images {
		img := &r.images[k]
		img.Layers = slices.DeleteFunc(slices.Clone(img.Layers), func(p plan.Prior) bool { return p.Name == commitLayer })
		for n := range img.Layers {
			img.Layers[n].Index = c.view(img.Layers[n].Index)
		}
	}
	r.images = slices.DeleteFunc(r.images, func(img plan.Image) bool { return len(img.Layers) == 0 })
	return nil
}

// newCapsule finds the objects of the tree, and makes the commit.
func (r *run) newCapsule(ctx context.Context) (*capsule, error) {
	c := &capsule{tree: r.tree.Clone(), known: map[tree.Digest][]byte{}}
	for i := range c.tree.Entries {
		e := &c.tree.Entries[i]
		if e.Sec, e.Nsec = 0, 0; e.Kind == tree.Symlink {
			e.Mode = 0o777
		}
	}
	err := c.label(func(p string) (io.ReadCloser, error) { return r.openFile(ctx, p) })
	if err == nil {
		err = r.sums(ctx, c)
	}
	if err == nil {
		c.group()
		err = c.makeCommit(r.src)
	}
	if errors.Is(err, ostree.ErrUnfit) || errors.Is(err, selinux.ErrPolicy) {
		return nil, fmt.Errorf("%w: it has no ostree form, take another format: %w", ErrPassThrough, err)
	}
	return c, err
}

// objectKey is what an object's checksum stands for, but for the targets of symlinks.
type objectKey struct {
	content  tree.Digest
	attrs    tree.Digest
	mode     uint32
	uid, gid int
}

// sums finds the checksums of all objects: of files that an earlier image has just so it is known, the others are read.
func (r *run) sums(ctx context.Context, c *capsule) error {
	c.sums = make([]ostree.Checksum, len(c.tree.Entries))
	served := r.servedSums()
	attrs := map[string]tree.Digest{}
	var unknown []int
	var need []tree.Digest
	keys := map[objectKey]int{} // position of the first entry of each
	same := make([]int, len(c.tree.Entries))
	for i := range c.tree.Entries {
		e := &c.tree.Entries[i]
		same[i] = i
		if e.Kind == tree.Dir || !ostree.InCommit(e.Path) {
			continue
		}
		if e.Kind == tree.Regular {
			a, ok := attrs[c.attrs[i]]
			if !ok {
				a = sha256.Sum256([]byte(c.attrs[i]))
				attrs[c.attrs[i]] = a
			}
			k := objectKey{e.Digest, a, e.Mode, e.UID, e.GID}
			if sum, ok := served[k]; ok {
				c.sums[i] = sum
				continue
			}
			if first, ok := keys[k]; ok {
				same[i] = first
				continue
			}
			keys[k] = i
			if e.Size > 0 {
				need = append(need, e.Digest)
			}
		}
		unknown = append(unknown, i)
	}
	if err := r.contents.need(ctx, need); err != nil {
		return err
	}
	err := r.each(ctx, unknown, func(ctx context.Context, i int) (err error) {
		c.sums[i], err = objectSum(&c.tree.Entries[i], []byte(c.attrs[i]), r.contents.within(ctx))
		return err
	})
	for i, first := range same {
		if first != i {
			c.sums[i] = c.sums[first]
		}
	}
	return err
}

// objectSum is the checksum of the object of a file or symlink that has these attributes.
func objectSum(e *tree.Entry, attrs []byte, contents tree.Contents) (out ostree.Checksum, err error) {
	h, err := ostree.NewHash(e, attrs)
	if err == nil && e.Size > 0 {
		var rc io.ReadCloser
		if rc, err = contents.Open(e.Digest); err != nil {
			return out, err
		}
		defer rc.Close()
		_, err = io.Copy(h, rc)
	}
	if err != nil {
		return out, err
	}
	h.Sum(out[:0])
	return out, nil
}

// servedSums are the checksums of the objects in the layers of earlier images.
func (r *run) servedSums() map[objectKey]ostree.Checksum {
	out := map[objectKey]ostree.Checksum{}
	seen := map[digest.Digest]bool{}
	for _, img := range r.images {
		for _, l := range img.Layers {
			if seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			t := tree.Tree{Entries: l.Index.Entries}
			for i := range t.Entries {
				e := &t.Entries[i]
				if sum, ok := ostree.FileObject(e.Path); ok && e.Kind == tree.Regular && e.Size > 0 {
					if a := t.Lookup(ostree.AttributesPath(sum)); a != nil && a.Kind == tree.Regular {
						out[objectKey{e.Digest, a.Digest, e.Mode, e.UID, e.GID}] = sum
					}
				}
			}
		}
	}
	return out
}

// group makes hardlink groups of the names of each object, and the tree that the plan sees. No group has more names than
// filesystems can link: names beyond are files of their own in layers, linked among themselves.
func (c *capsule) group() {
	c.first = map[ostree.Checksum]int{}
	names := map[ostree.Checksum]int{}
	for i, sum := range c.sums {
		if sum == (ostree.Checksum{}) {
			continue
		}
		if names[sum]++; names[sum] == 1 {
			c.first[sum] = i
		}
	}
	outside := map[string][]string{} // hardlink groups of what is in no commit: their names
	for i := range c.tree.Entries {
		if e := &c.tree.Entries[i]; c.sums[i] == (ostree.Checksum{}) && e.Link != "" {
			outside[e.Link] = append(outside[e.Link], e.Path)
		}
	}
	linked := map[ostree.Checksum]int{}    // names so far
	leader := map[ostree.Checksum]string{} // first of the group that a name belongs to
	for i := range c.tree.Entries {
		e := &c.tree.Entries[i]
		sum := c.sums[i]
		switch {
		case sum == (ostree.Checksum{}) && len(outside[e.Link]) > 1:
			e.Link = outside[e.Link][0]
		case names[sum] > 1 && !isEmptyObject(e):
			if linked[sum]%tree.ShareMost == 0 {
				leader[sum] = e.Path
			}
			linked[sum]++
			e.Link = leader[sum]
		default:
			e.Link = ""
		}
	}
	c.objects = c.tree.Clone()
	for i := range c.objects.Entries {
		e := &c.objects.Entries[i]
		if c.sums[i] == (ostree.Checksum{}) {
			e.Xattrs = shown(e)
		} else {
			e.Digest, e.Xattrs = tree.Digest(c.sums[i]), nil
		}
	}
}

// ownFile reports whether a name is not linked to its object in layers.
func (c *capsule) ownFile(i int) bool {
	e := &c.tree.Entries[i]
	return isEmptyObject(e) || e.Link != "" && e.Link != c.tree.Entries[c.first[c.sums[i]]].Path
}

// isEmptyObject reports whether an object's names are files of their own in layers, as ostree-ext has it: what builds on an
// image would else write into the object.
func isEmptyObject(e *tree.Entry) bool { return e.Kind == tree.Regular && e.Size == 0 }

// shown are the attributes of an entry that its header in a layer has, for containers; the others are in the objects alone.
func shown(e *tree.Entry) []tree.Xattr {
	if !slices.ContainsFunc(e.Xattrs, hidden) {
		return e.Xattrs
	}
	return slices.DeleteFunc(slices.Clone(e.Xattrs), hidden)
}

// hidden reports whether clients misread an attribute in a header, or set it by themselves.
func hidden(x tree.Xattr) bool {
	return x.Name == "security.selinux" || misread(x)
}

// misread reports whether bootc cannot read an attribute in a header.
func misread(x tree.Xattr) bool { return layer.Unreadable(&tree.Entry{Xattrs: []tree.Xattr{x}}) != "" }

// Object implements ostree.Files.
func (c *capsule) Object(i int) ostree.Checksum { return c.sums[i] }

// Attributes implements ostree.Files.
func (c *capsule) Attributes(i int) []byte { return []byte(c.attrs[i]) }

// makeCommit makes the commit's objects.
func (c *capsule) makeCommit(src *image.Source) (err error) {
	c.linux = kernelOf(c.tree)
	m := ostree.Commit{Metadata: []ostree.Metadata{{Key: image.LabelBootable}}}
	for _, l := range []string{"org.opencontainers.image.version", "version"} {
		if v := src.Config.Config.Labels[l]; v != "" && utf8.ValidString(v) && !strings.Contains(v, "\x00") {
			m.Metadata = append(m.Metadata, ostree.Metadata{Key: "version", Text: v})
			break
		}
	}
	if c.linux != "" {
		m.Metadata = append(m.Metadata, ostree.Metadata{Key: image.LabelLinux, Text: c.linux})
	}
	if t := src.Config.Created; t != nil && t.Unix() > 0 {
		m.Timestamp = uint64(t.Unix())
	}
	if c.commit, err = m.Objects(c.tree, c); err != nil {
		return err
	}
	for i := range c.commit {
		c.remember(c.commit[i].Data)
	}
	c.remember([]byte(repositoryConfig))
	for _, a := range slices.Compact(slices.Sorted(slices.Values(c.attrs))) {
		c.remember([]byte(a))
	}
	return nil
}

// kernelOf finds the version of an image's only kernel.
func kernelOf(t *tree.Tree) (version string) {
	const dir = "usr/lib/modules"
	start, _ := t.Find(dir)
	for i := start; i < len(t.Entries) && strings.HasPrefix(t.Entries[i].Path, dir); i++ {
		name, ok := strings.CutPrefix(t.Entries[i].Path, dir+"/")
		if name, ok2 := strings.CutSuffix(name, "/vmlinuz"); ok && ok2 && !strings.Contains(name, "/") {
			if version != "" {
				return ""
			}
			version = name
		}
	}
	return version
}

// remember keeps a content that the layers have and the image does not.
func (c *capsule) remember(b []byte) { c.known[sha256.Sum256(b)] = b }

// contents gives those of objects, too.
func (c *capsule) contents(files tree.Contents) tree.Contents {
	return opener(func(d tree.Digest) (io.ReadCloser, error) {
		if b, ok := c.known[d]; ok {
			return io.NopCloser(strings.NewReader(string(b))), nil
		}
		return files.Open(d)
	})
}

// layer is the layout's layer for the commit.
func (c *capsule) layer() plan.Layer {
	l := plan.Layer{Name: commitLayer, Reason: "the commit of this version", Heat: 1}
	for i := range c.commit {
		l.Bytes += int64(len(c.commit[i].Data))
	}
	return l
}

// announced is what an image says of the commit.
func (c *capsule) announced() *image.Commit {
	return &image.Commit{Checksum: c.commit[0].Sum.String(), Linux: c.linux}
}
