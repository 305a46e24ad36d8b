// Package ostree knows the images that ostree-ext encapsulates: the objects of an ostree repository below /sysroot, with the files
// of the system as hardlinks to them.
package ostree

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// objectsDir is where an ostree-encapsulated image keeps its objects; the files of the system are hardlinks to them.
const objectsDir = "sysroot/ostree/repo/objects/"

// maxXattrBytes bounds one xattrs object, as Linux bounds the attributes of a file (64 KiB of names and values, with room for
// the encoding).
const maxXattrBytes = 256 << 10

// Plain makes the tree of a plain bootc image: the content of /sysroot goes, the directory stays. When the image is
// ostree-encapsulated, the extended attributes that ostree keeps in objects of their own (bare-split-xattrs) come back to the
// files, but for security.selinux, which clients set by the policy of the booted system. It returns t itself when /sysroot is
// empty. An attribute object that breaks its format wraps tree.ErrInvalid, one that is too large tree.ErrLimit.
func Plain(t *tree.Tree, contents tree.Contents) (*tree.Tree, error) {
	if !HasSysroot(t) {
		return t, nil
	}
	attrs, err := splitXattrs(t, contents)
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
	for i := range t.Entries {
		e := t.Entries[i]
		if dropped(e.Path) {
			continue
		}
		if x, ok := attrs[e.Link]; ok && e.Link != "" {
			e.Xattrs = mergeXattrs(e.Xattrs, x)
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

// IsAttributes reports whether a path is that of an object that holds a file's extended attributes (bare-split-xattrs), which
// Plain reads.
func IsAttributes(path string) bool {
	return strings.HasPrefix(path, objectsDir) &&
		(strings.HasSuffix(path, ".file-xattrs") || strings.HasSuffix(path, ".file-xattrs-link"))
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
func splitXattrs(t *tree.Tree, contents tree.Contents) (map[string][]tree.Xattr, error) {
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
		x := t.Lookup(e.Path + "-xattrs-link")
		if x == nil {
			x = t.Lookup(e.Path + "-xattrs")
		}
		if x == nil || x.Kind != tree.Regular {
			continue
		}
		attrs, ok := parsed[x.Digest]
		if !ok {
			var err error
			if attrs, err = readXattrs(x, contents); err != nil {
				return nil, err
			}
			parsed[x.Digest] = attrs
		}
		out[e.Link] = attrs
	}
	return out, nil
}

func readXattrs(e *tree.Entry, contents tree.Contents) ([]tree.Xattr, error) {
	if e.Size > maxXattrBytes {
		return nil, tree.OverLimit(fmt.Sprintf("bytes of attributes in %q", e.Path), maxXattrBytes)
	}
	r, err := contents.Open(e.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxXattrBytes))
	if err != nil {
		return nil, err
	}
	all, err := parseGVariantXattrs(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return slices.DeleteFunc(all, func(x tree.Xattr) bool { return x.Name == "security.selinux" }), nil
}

// mergeXattrs adds b to a; a's own values win.
func mergeXattrs(a, b []tree.Xattr) []tree.Xattr {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.ContainsFunc(a, func(y tree.Xattr) bool { return y.Name == x.Name }) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	return out
}
