package pkgdb_test

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
	"github.com/strata-oci/strata/rechunk/tree"
)

// rpmFile is a file of a package: what it holds when shipped, and whether it is a ghost.
type rpmFile struct {
	path, content string
	ghost         bool
}

// rpmHeader encodes the header of a package whose files are all regular.
func rpmHeader(name, source string, built uint32, files ...rpmFile) []byte {
	var names, digests []string
	var sizes, flags []uint32
	var modes []uint16
	for _, f := range files {
		tr, _ := treetest.New(treetest.Files{"f": f.content})
		names, digests = append(names, f.path), append(digests, tr.Lookup("f").Digest.String())
		sizes, modes = append(sizes, uint32(len(f.content))), append(modes, 0o100644)
		flag := uint32(0)
		if f.ghost {
			flag = 1 << 6
		}
		flags = append(flags, flag)
	}
	return rpmtest.Header(
		rpmtest.Field{Tag: 1000, Value: name}, rpmtest.Field{Tag: 1044, Value: source},
		rpmtest.Field{Tag: 1006, Value: []uint32{built}},
		rpmtest.Field{Tag: 1080, Value: []uint32{built - 1, 7}}, rpmtest.Field{Tag: 1027, Value: names},
		rpmtest.Field{Tag: 1028, Value: sizes}, rpmtest.Field{Tag: 1030, Value: modes},
		rpmtest.Field{Tag: 1037, Value: flags},
		rpmtest.Field{Tag: 5011, Value: []uint32{8}}, rpmtest.Field{Tag: 1035, Value: digests},
	)
}

func TestReadRPM(t *testing.T) {
	t.Parallel()
	db := rpmtest.NDB(
		rpmHeader("glibc", "glibc-2.41-1.src.rpm", 100,
			rpmFile{path: "/lib64/libc.so.6", content: "libc"}, rpmFile{path: "/etc/ld.so.cache", ghost: true},
			rpmFile{path: "/usr/lib/locale/locale-archive", ghost: true}, rpmFile{path: "/var/db/ghost", ghost: true},
			rpmFile{path: "/usr/share/licenses/shared", content: "old"}, rpmFile{path: "/var/lib/moved", content: "moved"},
			rpmFile{path: "/gone/both", content: "both"}, rpmFile{path: "/gone/empty"},
			rpmFile{path: "/usr/bin/ld", ghost: true}),
		rpmHeader("glibc-common", "glibc-2.41-1.src.rpm", 101, rpmFile{path: "/usr/sbin/iconv", content: "iconv"}),
		rpmHeader("zlib", "zlib-ng-2-1.src.rpm", 50,
			rpmFile{path: "/usr/share/licenses/shared", content: "new"}, rpmFile{path: "/elsewhere/both", content: "both"},
			rpmFile{path: "/etc/z.conf", content: "z"},
			rpmFile{path: "/lib/modules/6.1/vmlinuz", content: "no kernel package"}),
		rpmHeader("gpg-pubkey", "", 1),
	)
	o := checkOwned(t, treetest.Files{
		"usr/lib/sysimage/rpm/Packages.db": string(db),
		"lib64":                            treetest.Link("usr/lib64"), "usr/lib64/libc.so.6": "libc",
		"etc/ld.so.cache":               "cache",
		"usr/lib/locale/locale-archive": treetest.Sized(5 << 20), "var/db/ghost": "g", "usr/share/licenses/shared": "new",
		"usr/share/factory/moved": "moved", "any/both": "both", "any/empty": "", "usr/bin/iconv": "iconv",
		"usr/etc/z.conf": "changed by hand", "usr/bin/ld": treetest.Link("ld.bfd"), "usr/lib/modules/6.1/vmlinuz": "v",
	}, map[string]string{
		"usr/lib/sysimage/rpm/Packages.db": "volatile/rpmdb",
		"usr/lib64/libc.so.6":              "rpm/glibc",
		"etc/ld.so.cache":                  "volatile/ld-cache",
		"usr/lib/locale/locale-archive":    "volatile/usr/lib/locale/locale-archive",
		"var/db/ghost":                     "volatile/ghost",
		"usr/share/licenses/shared":        "rpm/zlib-ng", // its content decides
		"usr/share/factory/moved":          "rpm/glibc",   // found by content
		"any/both":                         "rest",        // lost by two components
		"any/empty":                        "rest",
		"usr/bin/iconv":                    "rpm/glibc",
		"usr/etc/z.conf":                   "rpm/zlib-ng",
		"usr/bin/ld":                       "rest", // shipped as a file, here a link
		"usr/lib/modules/6.1/vmlinuz":      "kernel",
	})
	var got []pkgdb.Component
	for _, c := range o.Components {
		if c.Kind == pkgdb.Package || c.Kind == pkgdb.Kernel {
			got = append(got, c)
		}
	}
	want := []pkgdb.Component{
		{ID: "kernel", Kind: pkgdb.Kernel, Version: "2-1", Changes: []int64{49, 7}, BuildTime: 50},
		{ID: "rpm/glibc", Kind: pkgdb.Package, Version: "2.41-1", Changes: []int64{100, 99, 7}, BuildTime: 101},
		{ID: "rpm/zlib-ng", Kind: pkgdb.Package, Version: "2-1", Changes: []int64{49, 7}, BuildTime: 50},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

// TestReadRPMFallsBackWhenCut reads a database whose second package is damaged: the first keeps its files.
func TestReadRPMFallsBackWhenCut(t *testing.T) {
	t.Parallel()
	db := rpmtest.NDB(
		rpmHeader("a", "a-1-1.src.rpm", 9, rpmFile{path: "/a", content: "a"}),
		rpmHeader("b", "b-1-1.src.rpm", 9, rpmFile{path: "/b", content: "b"}),
	)
	o := checkOwned(t, treetest.Files{"usr/share/rpm/Packages.db": string(db[:len(db)-100]), "a": "a", "b": "b"},
		map[string]string{"a": "rpm/a", "b": "rest"})
	if len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0].String(), "usr/share/rpm/Packages.db") {
		t.Errorf("warnings: %q", o.Warnings)
	}
}

// TestReadManyVersions gives a component the versions of all its packages, however many.
func TestReadManyVersions(t *testing.T) {
	t.Parallel()
	var headers [][]byte
	files := treetest.Files{}
	for _, v := range strings.Split("cabzyxwvut", "") {
		headers = append(headers, rpmHeader("p"+v, "p-"+v+"-1.src.rpm", 9, rpmFile{path: "/" + v, content: v}))
		files[v] = v
	}
	files["var/lib/rpm/Packages.db"] = string(rpmtest.NDB(headers...))
	tr, o := owners(t, files)
	i, _ := tr.Find("a")
	if got := o.Components[o.Of[i]].Version; got != "a-1, b-1, c-1, v-1, w-1, x-1, y-1, z-1" {
		t.Errorf("version %q", got)
	}
	if e := tr.Lookup("a"); e.Kind != tree.Regular {
		t.Errorf("a is a %s", e.Kind)
	}
}
