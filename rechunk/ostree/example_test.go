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
