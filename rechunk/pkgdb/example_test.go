package pkgdb_test

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
)

// A tree with the database of apk: a package owns one of its files, nobody the other.
func ExampleRead() {
	tree, contents := treetest.New(treetest.Files{
		"usr/lib/apk/db/installed": "P:busybox-binsh\nV:1.37.0-r12\no:busybox\nF:bin\nR:sh\n",
		"bin":                      treetest.Link("usr/bin"),
		"usr/bin/sh":               "#!",
		"usr/local/bin/mine":       "#!",
	})
	owners, err := pkgdb.Read(context.Background(), tree, contents, "/tmp")
	if err != nil {
		panic(err)
	}
	for i, e := range tree.Entries {
		if c := owners.Components[owners.Of[i]]; e.Size > 0 {
			fmt.Printf("%s: %s\n", e.Path, c.ID)
		}
	}
	// Output:
	// usr/bin/sh: apk/busybox
	// usr/lib/apk/db/installed: volatile/apk
	// usr/local/bin/mine: rest
}

// A database that breaks off costs no image anything but precision.
func ExampleRead_damaged() {
	tree, contents := treetest.New(treetest.Files{
		"lib/apk/db/installed": "P:a\nF:bin\nR:a\n\nP:b\nF:bin\nR:b\ngarbage",
		"bin/a":                "a", "bin/b": "b",
	})
	owners, err := pkgdb.Read(context.Background(), tree, contents, "/tmp")
	fmt.Println(err)
	for _, w := range owners.Warnings {
		fmt.Println(w)
	}
	// Output:
	// <nil>
	// apk: lib/apk/db/installed: damaged package database: line "garbage" is no field
}

// The layers' index carries the contents of package lists, since every image's databases are read.
func ExampleIsPackageList() {
	for _, p := range []string{"var/lib/dpkg/info/bash.list", "usr/lib/sysimage/rpm/rpmdb.sqlite"} {
		fmt.Println(p, pkgdb.IsPackageList(p))
	}
	// Output:
	// var/lib/dpkg/info/bash.list true
	// usr/lib/sysimage/rpm/rpmdb.sqlite false
}
