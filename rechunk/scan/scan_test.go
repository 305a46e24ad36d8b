package scan_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// lines shows an index, one line per fact: type, path and what matters of the rest.
func lines(x *tree.Index) []string {
	out := Lines(x.Entries)
	for _, l := range x.Links {
		out = append(out, "lower "+l.Path+" = "+l.Target)
	}
	for _, p := range x.Whiteouts {
		out = append(out, "whiteout "+p)
	}
	for _, p := range x.Opaque {
		out = append(out, "opaque "+p)
	}
	return out
}

func TestScanNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-name/", 30)
	tests := map[string]struct {
		items []Item
		want  []string
	}{
		"empty":   {nil, nil},
		"root":    {[]Item{Dir("./").WithMode(0o700), File("./a", "x")}, []string{"directory .", "file a 1"}},
		"unclean": {[]Item{Dir("./a//b/"), File("/a/./c", "")}, []string{"directory a/b", "file a/c 0"}},
		"absolute": {[]Item{Dir("/a"), Hardlink("/b", "/c"), File("/c", "x")},
			[]string{"directory a", "file c 1", "lower b = c"}},
		"order": {[]Item{File("a/b", ""), File("a-b", ""), Dir("a")},
			[]string{"directory a", "file a-b 0", "file a/b 0"}},
		"twice": {[]Item{File("a", "1"), File("a", "22"), Dir("b"), File("b", "")}, []string{"file a 2", "file b 0"}},
		"pax long": {[]Item{File(long+"f", "x"), Symlink("s", long)},
			[]string{"file " + long + "f 1", "symlink s -> " + long}},
		"gnu long": {
			[]Item{GNU(File(long+"f", "x")), GNU(Hardlink(long+"g", long+"f"))},
			[]string{"file " + long + "f 1 = " + long + "f", "file " + long + "g 1 = " + long + "f"},
		},
		"not UTF-8": {[]Item{GNU(File("\xff\xfe", ""))}, []string{"file \xff\xfe 0"}},
		"special": {[]Item{Char("c", 1, 3), Block("b", 8, 1<<20-1), Fifo("f")},
			[]string{"block device b 8:1048575", "character device c 1:3", "fifo f"}},
		"global pax": {[]Item{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header",
			PAXRecords: map[string]string{"comment": "x"}}}, File("a", "")},
			[]string{"file a 0"}},
		"whiteouts": {[]Item{Whiteout("a/b"), Opaque("c"), Opaque(""), Whiteout("b")},
			[]string{"whiteout a/b", "whiteout b", "opaque .", "opaque c"}},
		"whiteout and object": {[]Item{Whiteout("a"), File("a", "x"), File("b", ""), Whiteout("b")},
			[]string{"file a 1", "file b 0", "whiteout a", "whiteout b"}},
		"aufs": {
			[]Item{Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "x"), Hardlink("a", ".wh..wh.plnk/1.2"),
				Hardlink("b", ".wh..wh.plnk/1.2"),
				File(".wh..wh.aufs", ""), Dir(".wh..wh.orph"), File("d/.wh..wh.x", "")},
			[]string{"file a 1 = a", "file b 1 = a"},
		},
		"parent is a symlink": {[]Item{Dir("usr/lib"), Symlink("lib", "usr/lib"), File("lib/x", "")},
			[]string{"symlink lib -> usr/lib", "directory usr/lib", "file usr/lib/x 0"}},
		"symlink chain": {[]Item{Symlink("a", "b"), Symlink("b", "/c/../d"), File("a/x", "")},
			[]string{"symlink a -> b", "symlink b -> /c/../d", "file d/x 0"}},
		"symlink out of the root": {[]Item{Symlink("a", "../../../etc"), File("a/passwd", "")},
			[]string{"symlink a -> ../../../etc", "file etc/passwd 0"}},
		"whiteout behind a symlink": {[]Item{Symlink("a", "b"), Whiteout("a/x"), Opaque("a/d")},
			[]string{"symlink a -> b", "whiteout b/x", "opaque b/d"}},
		"hardlinks": {[]Item{File("b", "x"), Hardlink("a", "b"), Hardlink("c", "a")},
			[]string{"file a 1 = a", "file b 1 = a", "file c 1 = a"}},
		"link before target": {[]Item{Hardlink("a", "b"), File("b", "x")}, []string{"file b 1", "lower a = b"}},
		"link to itself":     {[]Item{File("a", "x"), Hardlink("a", "./a")}, []string{"file a 1"}},
		"link over a file": {[]Item{File("a", "1"), File("b", "22"), Hardlink("a", "b")},
			[]string{"file a 2 = a", "file b 2 = a"}},
		"link over a directory": {[]Item{Dir("a"), File("a/x", ""), File("b", "22"), Hardlink("a", "b")},
			[]string{"file a 2 = a", "file b 2 = a"}},
		"target replaced": {[]Item{File("a", "1"), Hardlink("b", "a"), File("a", "22")},
			[]string{"file a 2", "file b 1"}},
		"link replaced":        {[]Item{Hardlink("a", "lower"), File("a", "1")}, []string{"file a 1"}},
		"link to a lower link": {[]Item{Hardlink("a", "x"), Hardlink("b", "a")}, []string{"lower a = x", "lower b = x"}},
		"link to a symlink": {[]Item{Symlink("a", "x"), Hardlink("b", "a")},
			[]string{"symlink a -> x = a", "symlink b -> x = a"}},
		"link through a symlink": {[]Item{Symlink("a", "d"), Hardlink("b", "a/x"), File("d/x", ""), Hardlink("c", "a/x")},
			[]string{"symlink a -> d", "file c 0 = c", "file d/x 0 = c", "lower b = d/x"}},
		"absolute target": {[]Item{File("usr/bin/a", "x"), Hardlink("usr/bin/b", "/usr/bin/a")},
			[]string{"file usr/bin/a 1 = usr/bin/a", "file usr/bin/b 1 = usr/bin/a"}},
		"file becomes directory": {[]Item{File("a", ""), Dir("a"), File("a/x", "")}, []string{"directory a", "file a/x 0"}},
		"directory becomes file": {[]Item{Dir("a"), File("a/x", ""), File("a", "")}, []string{"file a 0"}},
		"symlink becomes directory": {[]Item{Dir("b"), Symlink("a", "b"), Dir("a"), File("a/x", "")},
			[]string{"directory a", "file a/x 0", "directory b"}},
		"directory becomes symlink": {[]Item{Dir("a"), File("a/x", ""), Symlink("a", "b"), File("a/y", "")},
			[]string{"symlink a -> b", "file b/y 0"}},
		"contiguous file is regular": {[]Item{func() Item { i := File("a", "x"); i.Typeflag = tar.TypeCont; return i }()},
			[]string{"file a 1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, lines(Stored(t, Index(t, tt.items...), tree.Limits{}))); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestScanHeaders(t *testing.T) {
	t.Parallel()
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00"
	early := time.Unix(-12345, 678_000_000)
	tests := map[string]struct {
		item Item
		want tree.Entry
	}{
		"file": {
			File("f", "hello").WithMode(0o104755).WithOwner(1000, 1001).WithTime(time.Unix(5, 7)),
			tree.Entry{Kind: tree.Regular, Mode: 0o4755, UID: 1000, GID: 1001, Sec: 5, Nsec: 7, Size: 5,
				Digest: sha256.Sum256([]byte("hello"))},
		},
		"early": {Dir("f").WithTime(early), tree.Entry{Kind: tree.Dir, Mode: 0o755, Sec: -12345, Nsec: 678_000_000}},
		"base-256": {
			GNU(Fifo("f").WithOwner(1<<31, 1<<32-1).WithTime(time.Unix(-5, 0))),
			tree.Entry{Kind: tree.Fifo, Mode: 0o600, UID: 1 << 31, GID: 1<<32 - 1, Sec: -5},
		},
		"xattrs": {
			Dir("f").WithTime(time.Unix(0, 0)).WithXattr("user.b", "").WithXattr("security.capability",
				capability).WithXattr("user.a", "x=y\nz"),
			tree.Entry{Kind: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{{Name: "security.capability", Value: capability},
				{Name: "user.a", Value: "x=y\nz"}, {Name: "user.b", Value: ""}}},
		},
		"libarchive xattrs": {
			Dir("f").WithTime(time.Unix(0, 0)).WithXattr("user.b", "star").WithPAX("LIBARCHIVE.xattr.user.b", "bm90IHRoaXM").
				WithPAX("LIBARCHIVE.xattr.security.capability", "AQAAAgAgAAAAAA==").WithPAX("LIBARCHIVE.xattr.user.%3d", "").
				WithPAX("LIBARCHIVE.xattr.user.%62", "bm90IHRoaXM"),
			tree.Entry{Kind: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{{Name: "security.capability", Value: capability},
				{Name: "user.=", Value: ""}, {Name: "user.b", Value: "star"}}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.want.Path = "f"
			x := Stored(t, Index(t, tt.item), tree.Limits{})
			if d := cmp.Diff([]tree.Entry{tt.want}, x.Entries); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestScanCompression(t *testing.T) {
	t.Parallel()
	raw := Tar(t, File("a", strings.Repeat("x", 5000)), Dir("b"))
	half := len(raw) / 2
	skippable := []byte{0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	trailing := append(bytes.Clone(raw), "trailing bytes"...)
	tests := map[string]struct{ blob, plain []byte }{
		"none":         {raw, raw},
		"gzip":         {Gzip(t, raw), raw},
		"gzip members": {Gzip(t, raw[:half], nil, raw[half:]), raw},
		"zstd":         {Zstd(t, raw), raw},
		"zstd frames":  {Zstd(t, raw[:half], nil, raw[half:]), raw},
		"skippable": {bytes.Join([][]byte{skippable, Zstd(t, raw[:half]), skippable, Zstd(t, raw[half:]), skippable},
			nil), raw},
		"trailing data": {Gzip(t, trailing), trailing},
		"empty gzip":    {Gzip(t, nil), nil},
		"no end marker": {raw[:len(raw)-1024], raw[:len(raw)-1024]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := scan.Layer(t.Context(), bytes.NewReader(tt.blob), scan.Options{DiffID: true})
			if err != nil {
				t.Fatal(err)
			}
			if want := tree.Digest(sha256.Sum256(tt.plain)); got.DiffID != want {
				t.Errorf("diff_id %s, want %s", got.DiffID, want)
			}
			if got.Index.TarSize != int64(len(tt.plain)) {
				t.Errorf("TarSize %d, want %d", got.Index.TarSize, len(tt.plain))
			}
			if n := len(got.Index.Entries); n != 2 && len(tt.plain) > 0 {
				t.Errorf("%d entries", n)
			}
			again, err := scan.Decompress(bytes.NewReader(tt.blob), tree.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if b, err := io.ReadAll(again); err != nil || !bytes.Equal(b, tt.plain) {
				t.Errorf("Decompress gives %d bytes and %v", len(b), err)
			}
		})
	}
}

// TestIndexLimits has layers that are just within their limits: what Scan accepts can be read again under the same limits.
func TestIndexLimits(t *testing.T) {
	t.Parallel()
	items := []Item{File("d/a", "x").WithXattr("user.x", "123456"), Hardlink("d/b", "d/a"), Hardlink("c", "lower"),
		Symlink("s", "d"), Whiteout("s/w"), File("s/e", "")}
	blob := Tar(t, items...)
	for n := range int64(300) {
		lim := tree.Limits{MetaBytes: n + 1}
		got, err := scanned(t, bytes.NewReader(blob), lim)
		if err != nil {
			continue
		}
		var b bytes.Buffer
		if _, err := got.Index.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again, err := tree.ReadIndex(&b, lim)
		if err != nil {
			t.Fatalf("MetaBytes %d: %v", lim.MetaBytes, err)
		}
		if d := cmp.Diff(got.Index, again); d != "" {
			t.Fatal(d)
		}
	}
}
