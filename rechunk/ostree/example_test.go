package ostree_test

import (
	"crypto/sha256"
	"fmt"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// An encapsulated image keeps files as hardlinks to ostree's objects, and their attributes beside these. The plain tree has
// the files alone, with their attributes.
func ExamplePlain() {
	contents := treetest.Contents{}
	object := tree.Entry{Kind: tree.Regular, Mode: 0o755, Digest: sha256.Sum256(nil),
		Link: "sysroot/ostree/repo/objects/aa/bb.file"}
	named := func(path string) tree.Entry { e := object; e.Path = path; return e }
	attributes := "user.one\x001\x09\x0b" // as GVariant writes user.one=1
	encapsulated := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir},
		{Path: "sysroot", Kind: tree.Dir},
		named("sysroot/ostree/repo/objects/aa/bb.file"),
		{Path: "sysroot/ostree/repo/objects/aa/bb.file-xattrs", Kind: tree.Regular, Size: int64(len(attributes)),
			Digest: contents.Add(attributes)},
		{Path: "usr", Kind: tree.Dir},
		named("usr/program"),
	}}
	plain, err := ostree.Plain(ostree.Image{Tree: encapsulated, Contents: contents}, tree.NewBudget(tree.Limits{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range plain.Entries {
		fmt.Println(e.Kind, e.Path, e.Xattrs)
	}
	// Output:
	// directory . []
	// directory sysroot []
	// directory usr []
	// file usr/program [{user.one 1}]
}

// A commit of a tree with one file in /etc: the commit, then what each directory is and holds, from the root down. ostree
// keeps /etc in /usr/etc. Both of the directories below the root are the same dirmeta, which is written once.
func ExampleCommit_Objects() {
	t := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o700},
		{Path: "etc", Kind: tree.Dir, Mode: 0o755},
		{Path: "etc/hostname", Kind: tree.Regular, Mode: 0o644},
		{Path: "usr", Kind: tree.Dir, Mode: 0o755},
	}}
	objects, err := ostree.Commit{Metadata: []ostree.Metadata{{Key: "version", Text: "43.1"}}}.Objects(t, emptyFiles{t})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range objects {
		fmt.Println(o.Kind, len(o.Data))
	}
	// Output:
	// commit 102
	// dirmeta 12
	// dirtree 72
	// dirmeta 12
	// dirtree 72
	// dirtree 44
}

// emptyFiles are the objects of empty files without attributes.
type emptyFiles struct{ tree *tree.Tree }

// Attributes implements ostree.Files.
func (emptyFiles) Attributes(int) []byte { return ostree.Attributes(nil, "") }

// Object implements ostree.Files.
func (f emptyFiles) Object(i int) (sum ostree.Checksum) {
	h, err := ostree.NewHash(&f.tree.Entries[i], f.Attributes(i))
	if err == nil {
		h.Sum(sum[:0])
	}
	return sum
}
