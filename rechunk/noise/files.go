package noise

import (
	"path"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// File is an object of a tree that may differ in noise only from what was served at its paths before.
type File struct {
	Kind Kind
	// Names are the positions of its names in the tree, ascending.
	Names []int
	// Old is the entry that was served at the first of them; it has the content that was served at all.
	Old *tree.Entry
}

// Files finds what is worth judging: regular files at paths that KindAt knows, with other contents than were served there
// and the same headers. With times, only those of the same modification time: the others are sent again for that alone.
//
// It leaves what something else quotes or seals: files with attributes of IMA, EVM or fs-verity, those with a signature or a
// checksum beside them, databases with a part in another file, objects with a name at which something else is served, and
// objects of whose content the tree has a copy that is not kept with them: what was one content stays one.
func Files(old, now *tree.Tree, times bool) []File {
	groups := map[string][]int{}
	for i := range now.Entries {
		if e := &now.Entries[i]; e.Kind == tree.Regular && e.Link != "" {
			groups[e.Link] = append(groups[e.Link], i)
		}
	}
	var out []File
	for i := range now.Entries {
		e := &now.Entries[i]
		if e.Kind != tree.Regular || e.Link != "" && e.Link != e.Path {
			continue
		}
		f := File{Kind: KindAt(e.Path), Names: []int{i}, Old: old.Lookup(e.Path)}
		if e.Link != "" {
			f.Names = groups[e.Link]
		}
		if f.Old != nil && f.Old.Digest != e.Digest && f.judged(old, now, times) {
			out = append(out, f)
		}
	}
	return WithCopies(now, out)
}

// WithCopies leaves out files of whose content the tree has copies, unless all of them are among the files and were served
// with one content before.
func WithCopies(now *tree.Tree, files []File) []File {
	type content struct {
		old    tree.Digest
		copies int // that are not among the files
		torn   bool
	}
	contents := map[tree.Digest]*content{}
	for _, f := range files {
		d := now.Entries[f.Names[0]].Digest
		c := contents[d]
		if c == nil {
			c = &content{old: f.Old.Digest}
			contents[d] = c
		}
		c.torn = c.torn || c.old != f.Old.Digest
		c.copies -= len(f.Names)
	}
	for i := range now.Entries {
		if e := &now.Entries[i]; e.Kind == tree.Regular && contents[e.Digest] != nil {
			contents[e.Digest].copies++
		}
	}
	return slices.DeleteFunc(files, func(f File) bool {
		c := contents[now.Entries[f.Names[0]].Digest]
		return c.torn || c.copies > 0
	})
}

// judged reports whether all names of a file allow for its being judged.
func (f *File) judged(old, now *tree.Tree, times bool) bool {
	return !slices.ContainsFunc(f.Names, func(i int) bool {
		e := &now.Entries[i]
		was := old.Lookup(e.Path)
		return KindAt(e.Path) != f.Kind || f.Kind == "" || was == nil || was.Digest != f.Old.Digest ||
			times && !was.SameTime(e) || f.Kind == Compiled && (times || len(f.Names) > 1) || !sameHeader(was, e) ||
			sealed(e) || quoted(now, e.Path) || quoted(old, e.Path) ||
			f.Kind == RPMDatabase && (split(now, e.Path) || split(old, e.Path))
	})
}

// sameHeader reports whether two files differ in their content at most, and the time.
func sameHeader(a, b *tree.Entry) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && slices.Equal(a.Xattrs, b.Xattrs)
}

// sealed reports whether an attribute of a file is a digest or a signature of its content.
func sealed(e *tree.Entry) bool {
	return slices.ContainsFunc(e.Xattrs, func(x tree.Xattr) bool {
		name := x.Name[strings.LastIndexByte(x.Name, '.')+1:]
		return name == "ima" || name == "evm" || strings.Contains(x.Name, "verity") || strings.Contains(x.Name, "sha")
	})
}

// quoted reports whether a file has a signature or a checksum beside it.
func quoted(t *tree.Tree, p string) bool {
	for _, ending := range []string{
		".sig", ".sign", ".signature", ".asc", ".gpg", ".p7s", ".p7", ".cms", ".minisig", ".sigstore", ".bundle", ".pem",
		".sha1", ".sha256", ".sha384", ".sha512", ".sha1sum", ".sha256sum", ".sha512sum", ".md5", ".md5sum", ".b2sum",
		".hmac",
		".hash", ".checksum", ".verity", ".roothash", ".zsync", ".gzi", ".tbi", ".idx",
	} {
		if t.Lookup(p+ending) != nil {
			return true
		}
	}
	dir, base := path.Split(p)
	return t.Lookup(dir+"."+base+".hmac") != nil // as for FIPS 140 in /boot
}

// split reports whether a part of a database may be in another file.
func split(t *tree.Tree, p string) bool {
	return slices.ContainsFunc(rpmdb.Companions(p), func(p string) bool {
		e := t.Lookup(p)
		return e != nil && (e.Kind != tree.Regular || e.Size > 0)
	})
}
