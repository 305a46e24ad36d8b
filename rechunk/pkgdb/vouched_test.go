package pkgdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

func TestVouched(t *testing.T) {
	t.Parallel()
	const ghost = 1 << 6
	header := rpmtest.Header(rpmtest.Field{Tag: 1000, Value: "notes"}, rpmtest.Field{Tag: 1001, Value: "1"},
		rpmtest.Field{Tag: 1002, Value: "1"}, rpmtest.Field{Tag: 1037, Value: []uint32{0, ghost, 0}},
		rpmtest.Field{Tag: 1116, Value: []uint32{0, 0, 1}},
		rpmtest.Field{Tag: 1117, Value: []string{"a.gz", "b.gz", "c.gz"}},
		rpmtest.Field{Tag: 1118, Value: []string{"/usr/share/", "/share/"}})
	files := treetest.Files{
		"usr/lib/sysimage/rpm/Packages": rpmtest.BDB(binary.LittleEndian, 4096, header),
		"var/lib/dpkg/status":           "Package: d\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
		"var/lib/dpkg/info/d.list":      "/usr/share/d.gz\n/etc/e.gz\n",
		"usr/share/a.gz":                "a", "usr/share/b.gz": "b", "usr/share/c.gz": "c", "usr/share/d.gz": "d",
		"usr/etc/e.gz":      "e",
		"usr/share/none.gz": "f", "share": treetest.Link("usr/share"), "opt/a.gz": "g",
	}
	tr, contents := treetest.New(files)
	var all []int
	for i, e := range tr.Entries {
		if bytes.HasSuffix([]byte(e.Path), []byte(".gz")) {
			all = append(all, i)
		}
	}
	got, err := pkgdb.Vouched(t.Context(), tr, contents, t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		p := tr.Entries[i].Path
		want := p == "usr/share/a.gz" || p == "usr/share/c.gz" || p == "usr/share/d.gz" || p == "usr/etc/e.gz"
		if got[i] != want {
			t.Errorf("%s: %v", p, got[i])
		}
	}
	files["usr/lib/sysimage/rpm/Packages"] = "damaged"
	tr, contents = treetest.New(files)
	if _, err := pkgdb.Vouched(t.Context(), tr, contents, t.TempDir(), nil); !errors.Is(err, installed.ErrDamaged) {
		t.Error(err)
	}
}
