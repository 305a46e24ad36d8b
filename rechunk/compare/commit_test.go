package compare

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// files is a directory with attributes on a directory, an empty file and another.
func files(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, d := range []string{"usr/etc/dir", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, body := range map[string]string{"usr/empty": "", "usr/lib/file": "x", "usr/lib/none": "y"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "usr/etc/dir", "usr/empty", "usr/lib/file"} {
		if err := syscall.Setxattr(filepath.Join(root, name), "user.a", []byte("1"), 0); err != nil {
			t.Skipf("no attributes here: %v", err)
		}
	}
	return root
}

// plain is what the files are in an image, with an attribute on those with these names.
func plain(value string, names ...string) []Item {
	items := []Item{Dir("."), Dir("sysroot"), Dir("etc"), Dir("etc/dir"), Dir("usr"), Dir("usr/lib"), File("usr/empty", ""),
		File("usr/lib/file", "x"), File("usr/lib/none", "y")}
	for i := range items {
		if slices.Contains(names, items[i].Name) {
			items[i] = items[i].WithXattr("user.a", value)
		}
	}
	return items
}

func inspect(t *testing.T, labels map[string]string, layers ...[]Item) *rechunk.Inspection {
	t.Helper()
	store := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: t.TempDir()})
	img := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: labels}, layers...)
	in, err := e.Inspect(t.Context(), img.Request("", rechunk.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in
}

// What is lost of the attributes in a commit is told, also where both trees agree on that it is not there.
func TestCommit(t *testing.T) {
	t.Parallel()
	commit, layers := ostreetest.Encapsulate(t, files(t))
	all := []string{".", "etc/dir", "usr/empty", "usr/lib/file"}
	for name, c := range map[string]struct {
		derived []Item
		served  []Item
		want    []string
	}{
		"all there": {served: plain("1", all...)},
		"none":      {served: plain("1"), want: all},
		"no directory": {served: plain("1", "usr/empty", "usr/lib/file"),
			want: []string{".", "etc/dir"}},
		"no empty file": {served: plain("1", ".", "etc/dir", "usr/lib/file"), want: []string{"usr/empty"}},
		"other values":  {served: plain("2", all...), want: all},
		"removed": {derived: []Item{Whiteout("etc/dir"), Dir("etc/dir")},
			served: plain("1", ".", "usr/empty", "usr/lib/file")},
		"replaced":    {derived: []Item{File("usr/empty", "")}, served: plain("1", ".", "etc/dir", "usr/lib/file")},
		"named again": {derived: []Item{Dir("etc"), Dir("etc/dir")}, served: plain("1", all...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labels := map[string]string{"containers.bootc": "1", "ostree.commit": commit,
				"ostree.final-diffid": diffID(t, layers[1])}
			source := inspect(t, labels, append(slices.Clone(layers[:]), c.derived)...)
			served := inspect(t, map[string]string{"containers.bootc": "1"}, c.served)
			check := func(how string) {
				diffs, _, err := WithNoise(t.Context(), source, served, tree.DiffOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, d := range diffs {
					if d.What != "xattrs" {
						t.Errorf("%s: %s", how, d)
					}
					got = append(got, d.Path)
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("%s (-want +got):\n%s", how, d)
				}
			}
			check("as it is")
			// A mistake in what both are read by: the source's tree is the served one.
			source.Tree = served.Tree
			check("with a wrong tree")
			source, served = served, source
			check("the other way round")
		})
	}
}

func diffID(t *testing.T, layer []Item) string {
	t.Helper()
	img := inspect(t, nil, layer)
	return img.Image.Config.RootFS.DiffIDs[0].String()
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for typ, c := range map[string]struct {
		b    string
		want []string
	}{
		"a(ayay)":      {"a\x00xy\x02b\x00z\x02\x05\x09", []string{"a\x00xy\x02", "b\x00z\x02"}},
		"(ayay)":       {"a\x00xy\x02", []string{"a\x00", "xy"}},
		"(uuua(ayay))": {"000011112222a\x00x\x02\x04", []string{"0000", "1111", "2222", "a\x00x\x02\x04"}},
		"(sayay)":      {"d\x00AB\x03\x02", []string{"d\x00", "A", "B"}},
		"a(say)":       {"", nil},
		"(a{sv}ays)":   {"1234567890\x00\x09\x08", []string{"12345678", "9", "0\x00"}},
		"(a{sv}ayst)": {"12345678" + "9" + "0\x00" + "\x00\x00\x00\x00\x00" + "ABCDEFGH" + "\x0b\x09\x08",
			[]string{"12345678", "9", "0\x00", "ABCDEFGH"}},
		"(a(say)a(ss))": {"\x00", []string{"", ""}},
	} {
		got, err := split(typ, []byte(c.b))
		if err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		var text []string
		for _, b := range got {
			text = append(text, string(b))
		}
		if d := cmp.Diff(c.want, text); d != "" {
			t.Errorf("%s: %s", typ, d)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\x00xy\x02b\x00z\x02\x05\x09"))
	f.Add([]byte("000011112222a\x00x\x02\x04"))
	f.Add(append(make([]byte, 300), binary.LittleEndian.AppendUint16(nil, 298)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, typ := range []string{"a(ayay)", "(ayay)", "(uuua(ayay))", "(a(say)a(sayay))", "a(sayay)", "(sayay)",
			"a(say)",
			"(say)", "(a{sv}aya(say)sstayay)"} {
			parts, err := split(typ, b)
			n := 0
			for _, p := range parts {
				n += len(p)
			}
			if n > len(b) {
				t.Errorf("%s: %d bytes of %d", typ, n, len(b))
			}
			if err == nil && !strings.HasPrefix(typ, "a") && len(parts) != len(members(typ)) {
				t.Errorf("%s: %d members", typ, len(parts))
			}
		}
	})
}
