package apk_test

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/apk"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

// printer is a sink that prints what it is given.
type printer struct{}

func (printer) Package(p *installed.Package) error {
	fmt.Println(p.Name, p.Version, "of", p.Source)
	return nil
}

func (printer) File(f *installed.File) error {
	fmt.Println(" ", f.Path)
	return nil
}

func (printer) Warn(line string) { fmt.Println(line) }

// All readers hand packages to a sink, each followed by its files, as they come to them.
func ExampleRead() {
	tree, contents := treetest.New(treetest.Files{
		"lib/apk/db/installed": "P:musl-utils\nV:1.2.5-r0\no:musl\nF:sbin\nR:ldconfig\n\nP:zlib\nV:1.3\nF:lib\nR:libz.so.1\n",
	})
	if err := apk.Read(context.Background(), rootfs.New(tree, contents), printer{}); err != nil {
		panic(err)
	}
	// Output:
	// musl-utils 1.2.5-r0 of musl
	//   sbin
	//   sbin/ldconfig
	// zlib 1.3 of zlib
	//   lib
	//   lib/libz.so.1
}
