// Package ostree knows the images that ostree-ext encapsulates: the objects of an ostree repository below /sysroot, with the
// files of the system as hardlinks to them.
package ostree

import (
	"fmt"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// objectsDir is where an ostree-encapsulated image keeps its objects; the files of the system are hardlinks to them.
const objectsDir = "sysroot/ostree/repo/objects/"

// maxXattrBytes bounds one xattrs object, as Linux bounds the attributes of a file (64 KiB of names and values, with room
// for the encoding).
const maxXattrBytes = 256 << 10

// Image is an image's filesystem with what is known of it besides.
type Image struct {
	Tree     *tree.Tree
	Contents tree.Contents
	// Commit is the checksum in the image's label ostree.commit; empty where it has none.
	Commit string
	// Labelled reports whether clients label a path by the image's policy; nil where nobody knows. A label in an object is
	// the image's own, and stays, where they do not.
	Labelled func(kind tree.Kind, path string) (bool, error)
	// Derived are the layers above those that were encapsulated (the label ostree.final-diffid), lowest first: what they
	// remove and replace is not the commit's any longer.
	Derived []*tree.Index
}

// Plain makes the tree of a plain bootc image: the content of /sysroot goes, the directory stays. When the image is
// ostree-encapsulated, the extended attributes that ostree keeps in objects of their own (bare-split-xattrs, dirmeta) come
// back to the files and directories, but for the labels that clients set by policy (Image.Labelled). It returns the
// image's tree itself when /sysroot is empty. An object that is missing or breaks its format wraps tree.ErrInvalid; one that
// is too large wraps tree.ErrLimit, as do attributes for which the image's budget has no room. Files share them: one object
// may be that of a million files.
func Plain(image Image, b *tree.Budget) (*tree.Tree, error) {
	t := image.Tree
	if !HasSysroot(t) {
		return t, nil
	}
	attrs, err := splitXattrs(t, image.Contents, b)
	if err != nil {
		return nil, err
	}
	others, err := commitXattrs(image, b)
	if err != nil {
		return nil, err
	}
	kept := 0
	for i := range t.Entries {
		if !dropped(t.Entries[i].Path) {
			kept++
		}
	}
	out := &tree.Tree{Entries: make([]tree.Entry, 0, kept)}
	both := merger{budget: b, made: map[[2]*tree.Xattr][]tree.Xattr{}}
	given := func(i int) []tree.Xattr {
		if o := others[i]; len(o) > 0 {
			return o
		}
		return attrs[t.Entries[i].Link]
	}
	labels := labels{Image: image, budget: b, stripped: map[*tree.Xattr][]tree.Xattr{}}
	if err := labels.find(given); err != nil {
		return nil, err
	}
	for i := range t.Entries {
		e := t.Entries[i]
		if dropped(e.Path) {
			continue
		}
		x, err := labels.kept(&e, given(i))
		if err == nil && len(x) > 0 {
			e.Xattrs, err = both.merge(e.Xattrs, x)
		}
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, e)
	}
	regroup(out.Entries)
	return out, nil
}

// dropped reports whether Plain drops a path.
func dropped(path string) bool { return path != "sysroot" && tree.Within(path, "sysroot") }

// HasSysroot reports whether a tree has anything in /sysroot that Plain would drop.
func HasSysroot(t *tree.Tree) bool {
	// Neighbours such as "sysroot-x" sort before "sysroot/", so that the first entry below is found by its prefix.
	i, _ := t.Find("sysroot/")
	return i < len(t.Entries) && tree.Within(t.Entries[i].Path, "sysroot")
}

// IsAttributes reports whether a path is that of an object that holds extended attributes of files (bare-split-xattrs) or
// directories (dirmeta), which Plain always reads.
func IsAttributes(path string) bool {
	return strings.HasPrefix(path, objectsDir) && (strings.HasSuffix(path, ".file-xattrs") ||
		strings.HasSuffix(path, ".file-xattrs-link") || strings.HasSuffix(path, ".dirmeta"))
}

// attributesOf finds the object that holds the attributes of a file's object; nil when there is none.
func attributesOf(t *tree.Tree, object string) *tree.Entry {
	x := t.Lookup(object + "-xattrs-link")
	if x == nil {
		x = t.Lookup(object + "-xattrs")
	}
	if x == nil || x.Kind != tree.Regular {
		return nil
	}
	return x
}

// regroup names hardlink groups anew after members went.
func regroup(entries []tree.Entry) {
	first := map[string]int{}
	count := map[string]int{}
	for i := range entries {
		if l := entries[i].Link; l != "" {
			if count[l]++; count[l] == 1 {
				first[l] = i
			}
		}
	}
	for i := range entries {
		l := entries[i].Link
		switch {
		case l == "":
		case count[l] == 1:
			entries[i].Link = ""
		default:
			entries[i].Link = entries[first[l]].Path
		}
	}
}

// splitXattrs reads the xattrs objects of an ostree repository: hardlink group → attributes.
func splitXattrs(t *tree.Tree, contents tree.Contents, b *tree.Budget) (map[string][]tree.Xattr, error) {
	out := map[string][]tree.Xattr{}
	parsed := map[tree.Digest][]tree.Xattr{}
	start, _ := t.Find(strings.TrimSuffix(objectsDir, "/"))
	for i := start; i < len(t.Entries); i++ {
		e := &t.Entries[i]
		if !tree.Within(e.Path, "sysroot") {
			break
		}
		if e.Link == "" || !strings.HasPrefix(e.Path, objectsDir) || !strings.HasSuffix(e.Path, ".file") {
			continue
		}
		x := attributesOf(t, e.Path)
		if x == nil {
			continue
		}
		attrs, ok := parsed[x.Digest]
		if !ok {
			var err error
			if attrs, err = readXattrs(x, contents, 0); err == nil {
				attrs, err = b.Xattrs(attrs)
			}
			if err != nil {
				return nil, err
			}
			parsed[x.Digest] = attrs
		}
		out[e.Link] = attrs
	}
	return out, nil
}

// ReadAttributes reads the serialised attributes that an object holds. One that is too large wraps tree.ErrLimit.
func ReadAttributes(e *tree.Entry, contents tree.Contents) ([]byte, error) {
	if e.Size > maxXattrBytes {
		return nil, tree.OverLimit(fmt.Sprintf("bytes of attributes in %q", e.Path), maxXattrBytes)
	}
	r, err := contents.Open(e.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxXattrBytes))
}

// readXattrs reads the attributes in an object behind so many other bytes.
func readXattrs(e *tree.Entry, contents tree.Contents, skip int) ([]tree.Xattr, error) {
	b, err := ReadAttributes(e, contents)
	if err != nil {
		return nil, err
	}
	if len(b) < skip {
		return nil, fmt.Errorf("%s: %w", e.Path, tree.Invalidf("%d bytes", len(b)))
	}
	out, err := parseGVariantXattrs(b[skip:])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return out, nil
}

// merger puts attributes together, each two lists once.
type merger struct {
	budget *tree.Budget
	made   map[[2]*tree.Xattr][]tree.Xattr // by the first of each
	meta   int64
}

// merge adds b, which is not empty, to a; a's own values win.
func (m *merger) merge(a, b []tree.Xattr) ([]tree.Xattr, error) {
	out := b
	if len(a) > 0 {
		key := [2]*tree.Xattr{&a[0], &b[0]}
		if out = m.made[key]; out == nil {
			var err error
			if out, err = m.budget.Xattrs(mergeXattrs(a, b)); err != nil {
				return nil, err
			}
			m.made[key] = out
		}
	}
	for _, x := range out {
		m.meta += int64(len(x.Name) + len(x.Value))
	}
	if most := m.budget.Limits().MetaBytes; m.meta > most {
		return nil, tree.OverLimit("bytes of attributes from ostree's objects", most)
	}
	return out, nil
}

// mergeXattrs adds b to a, both sorted by name; a's own values win.
func mergeXattrs(a, b []tree.Xattr) []tree.Xattr {
	out := make([]tree.Xattr, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].Name, b[0].Name); {
		case c <= 0:
			if c == 0 {
				b = b[1:]
			}
			out, a = append(out, a[0]), a[1:]
		default:
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
