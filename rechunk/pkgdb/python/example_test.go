package python_test

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/python"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

func ExampleRead() {
	tree, contents := treetest.New(treetest.Files{
		"opt/app/lib/python3.12/site-packages/Flask-3.1.dist-info/RECORD": "flask/app.py,,\n../../../bin/flask,,\n",
	})
	var s treetest.Sink
	if err := python.Read(context.Background(), rootfs.New(tree, contents), &s); err != nil {
		panic(err)
	}
	for _, p := range s.Packages {
		fmt.Println(p.Source, p.Version)
		for _, f := range p.Files {
			fmt.Println(" ", f.Path)
		}
	}
	// Output:
	// flask 3.1
	//   /opt/app/lib/python3.12/site-packages/flask/app.py
	//   /opt/app/bin/flask
}
