package pkgdb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

const (
	benchPackages = 200
	benchFiles    = 500
)

// BenchmarkReadRPM reads a tree of 100,000 files that an rpm database owns.
func BenchmarkReadRPM(b *testing.B) {
	files := treetest.Files{}
	var headers [][]byte
	for p := range benchPackages {
		var owned []rpmFile
		for f := range benchFiles {
			path := fmt.Sprintf("lib/p%d/dir%d/file%d", p, f/20, f)
			files["usr/"+path] = treetest.Sized(100)
			owned = append(owned, rpmFile{path: "/" + path, content: "x"})
		}
		headers = append(headers, rpmHeader(fmt.Sprintf("p%d", p), fmt.Sprintf("s%d-1-1.src.rpm", p/2), 9, owned...))
	}
	files["lib"] = treetest.Link("usr/lib")
	files["usr/lib/sysimage/rpm/Packages.db"] = string(rpmtest.NDB(headers...))
	benchRead(b, files)
}

// BenchmarkReadDpkg reads a tree of 100,000 files that a dpkg database owns.
func BenchmarkReadDpkg(b *testing.B) {
	files := treetest.Files{"lib": treetest.Link("usr/lib")}
	var status strings.Builder
	for p := range benchPackages {
		fmt.Fprintf(&status, "Package: p%d\nStatus: install ok installed\nVersion: 1\n\n", p)
		list := "/.\n/lib\n"
		for f := range benchFiles {
			path := fmt.Sprintf("lib/p%d/dir%d/file%d", p, f/20, f)
			files["usr/"+path] = treetest.Sized(100)
			list += "/" + path + "\n"
		}
		files[fmt.Sprintf("var/lib/dpkg/info/p%d.list", p)] = list
	}
	files["var/lib/dpkg/status"] = status.String()
	benchRead(b, files)
}

func benchRead(b *testing.B, files treetest.Files) {
	tr, c := treetest.New(files)
	work := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		o, err := pkgdb.Read(b.Context(), tr, c, work)
		if err != nil || len(o.Components) < 100 || len(o.Warnings) > 0 {
			b.Fatal(err, o)
		}
	}
	b.ReportMetric(float64(len(tr.Entries))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
