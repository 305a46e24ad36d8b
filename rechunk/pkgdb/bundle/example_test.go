package bundle_test

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/bundle"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

func ExampleRead() {
	tree, contents := treetest.New(treetest.Files{
		"usr/lib/extensions/tools_7.raw":                      "an image",
		"var/lib/snapd/seed/snaps/core22_1380.snap":           "another",
		"nix/store/0123456789abcdfghijklmnpqrsvwxyz-bash-5.3": "a program",
	})
	var s treetest.Sink
	ecosystem := func(name string) { fmt.Println("of", name) }
	if err := bundle.Read(context.Background(), rootfs.New(tree, contents), ecosystem, &s); err != nil {
		panic(err)
	}
	for _, p := range s.Packages {
		fmt.Println(p.Source, p.Version, p.Files[0].Path)
	}
	// Output:
	// of nix
	// of sysext
	// of snap
	// bash 5.3 nix/store/0123456789abcdfghijklmnpqrsvwxyz-bash-5.3
	// tools 7 usr/lib/extensions/tools_7.raw
	// core22 1380 var/lib/snapd/seed/snaps/core22_1380.snap
}
