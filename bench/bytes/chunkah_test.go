package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/tree"
)

// unpacked is a version whose entries lie in a directory, made as of a time. A package owns the files in usr.
func unpacked(t *testing.T, root string, now int64, content map[string]byte) *version {
	t.Helper()
	v := &version{in: &oneshot.Inspection{Inspection: &rechunk.Inspection{Tree: &tree.Tree{}}}}
	add := func(e tree.Entry, owner int) {
		e.Sec = now
		v.in.Tree.Entries = append(v.in.Tree.Entries, e)
		v.owner = append(v.owner, owner)
		if err := os.Chtimes(filepath.Join(root, e.Path), time.Unix(now, 0), time.Unix(now, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{".", "etc", "usr"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(path string, owner int) {
		if err := os.WriteFile(filepath.Join(root, path), []byte{content[path]}, 0o644); err != nil {
			t.Fatal(err)
		}
		add(tree.Entry{Path: path, Kind: tree.Regular, Size: 1, Digest: tree.Digest{content[path]}}, owner)
	}
	add(tree.Entry{Path: ".", Kind: tree.Dir}, -1)
	file("etc/hostname", -1)
	add(tree.Entry{Path: "usr", Kind: tree.Dir}, -1)
	file("usr/changed", 0)
	file("usr/same", 0)
	return v
}

func TestChunkahSeesTheTimesOfPackages(t *testing.T) {
	t.Parallel()
	c, root := &chunkah{}, t.TempDir()
	for n, want := range []map[string]int64{
		{".": 1000, "etc/hostname": 1000, "usr": 1000, "usr/changed": 1000, "usr/same": 1000},
		{".": 2000, "etc/hostname": 2000, "usr": 2000, "usr/changed": 2000, "usr/same": 1000},
	} {
		v := unpacked(t, root, int64(n+1)*1000, map[string]byte{"usr/changed": byte(n), "usr/same": 7})
		if err := c.restore(v, root); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for path := range want {
			info, err := os.Stat(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			got[path] = info.ModTime().Unix()
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("version %d: %s", n+1, d)
		}
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, releases := invented()
	for name, n := range map[string]int{"b/rpm": 2, "a/rpm": 3, "a/dpkg": 2, "alone/rpm": 1} {
		if err := writeHistory(t.Context(), filepath.Join(dir, name), c, releases[:n], 0.001); err != nil {
			t.Fatal(err)
		}
	}
	list, err := found(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.name)
	}
	if d := cmp.Diff([]string{"a dpkg", "a rpm", "b rpm"}, got); d != "" {
		t.Error(d)
	}
}
