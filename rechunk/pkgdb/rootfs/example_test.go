package rootfs_test

import (
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

// A path as a package database writes it, in a tree where / and /usr were merged.
func ExampleView_Locate() {
	tree, contents := treetest.New(treetest.Files{"lib": treetest.Link("usr/lib"), "usr/lib/libc.so.6": "libc"})
	view := rootfs.New(tree, contents)
	if i, ok := view.Locate("/lib/libc.so.6"); ok {
		fmt.Println(tree.Entries[i].Path)
	}
	_, ok := view.Locate("/lib/absent")
	fmt.Println(ok)
	// Output:
	// usr/lib/libc.so.6
	// false
}

// The files of dpkg about a package.
func ExampleView_Children() {
	tree, contents := treetest.New(treetest.Files{
		"var/lib/dpkg/info/bash.list": "", "var/lib/dpkg/info/bash.md5sums": "", "var/lib/dpkg/info/dash.list": "",
	})
	for e := range rootfs.New(tree, contents).Children("/var/lib/dpkg/info", "bash.") {
		fmt.Println(e.Path)
	}
	// Output:
	// var/lib/dpkg/info/bash.list
	// var/lib/dpkg/info/bash.md5sums
}
