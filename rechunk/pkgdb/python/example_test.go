package python_test

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/python"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

// printer is a sink that prints what it is given.
type printer struct{}

func (printer) Package(p *installed.Package) error {
	fmt.Println(p.Source, p.Version)
	return nil
}

func (printer) File(f *installed.File) error {
	fmt.Println(" ", f.Path)
	return nil
}

func (printer) Warn(line string) { fmt.Println(line) }

func ExampleRead() {
	tree, contents := treetest.New(treetest.Files{
		"opt/app/lib/python3.12/site-packages/Flask-3.1.dist-info/RECORD": "flask/app.py,,\n../../../bin/flask,,\n",
	})
	if err := python.Read(context.Background(), rootfs.New(tree, contents), printer{}); err != nil {
		panic(err)
	}
	// Output:
	// flask 3.1
	//   /opt/app/lib/python3.12/site-packages/flask/app.py
	//   /opt/app/bin/flask
}
