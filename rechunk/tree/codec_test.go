package tree_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func sampleIndex() *tree.Index {
	return &tree.Index{
		Entries: []tree.Entry{
			{Path: ".", Kind: tree.Dir, Mode: 0o755},
			{Path: "dev/null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3},
			{Path: "etc", Kind: tree.Dir, Mode: 0o755, Sec: -1, Nsec: 5,
				Xattrs: []tree.Xattr{{"user.a", "\x00"}, {"user.b", ""}}},
			{Path: "etc/passwd", Kind: tree.Regular, Mode: 0o4644, UID: 1<<32 - 1, GID: 1, Sec: 1 << 40, Size: 300,
				Digest: tree.Digest{1, 2, 3}, Link: "etc/passwd"},
			{Path: "etc/passwd-", Kind: tree.Regular, Mode: 0o4644, UID: 1<<32 - 1, GID: 1, Sec: 1 << 40, Size: 300,
				Digest: tree.Digest{1, 2, 3}, Link: "etc/passwd"},
			{Path: "lib", Kind: tree.Symlink, Mode: 0o777, Target: "usr/lib"},
			{Path: "run/f", Kind: tree.Fifo, Mode: 0o600},
		},
		Links:     []tree.Link{{"a", "etc/hosts"}, {"b", "."}},
		Whiteouts: []string{"usr/a", "usr/b"},
		Opaque:    []string{".", "var"},
		Inline:    []tree.Inline{{Digest: sha256.Sum256([]byte("hi")), Content: []byte("hi")}},
		TarSize:   10240,
	}
}

// sampleStored is sampleIndex as it was written first.
const sampleStored = "73747261746120696e64657820310a28b52ffd04008d0600940b80a0010700012e0001ed03000000000000086465762f6e756c6c0004b602" +
	"06000365746301050206757365722e610100620003072f7061737377640102a413ffffffff0f018080808080400000d80401020a012d0500" +
	"036c69620003ff077573722f6c6962000572756e2f6600068003020161096574632f686f7374730162012e02057573722f61057573722f62" +
	"02012e03766172018f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4026869080081084d0d84f21bc6b049c2" +
	"782c2319354c364c27ee13edd3"

// TestIndexGolden guards the stored form: what was written once stays readable, and equal indexes stay equal but for what
// the compressor does to them.
func TestIndexGolden(t *testing.T) {
	t.Parallel()
	golden, err := hex.DecodeString(sampleStored)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.ReadIndex(bytes.NewReader(golden), tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleIndex(), got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var b bytes.Buffer
	if _, err := sampleIndex().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(payload(t, golden), payload(t, b.Bytes())); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	Stored(t, sampleIndex(), tree.Limits{})
	Stored(t, &tree.Index{}, tree.Limits{})
}

// payload is what is compressed in a stored index.
func payload(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b[len("strata index 1\n"):]))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	p, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIndexWriteRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]func(x *tree.Index){
		"order":             func(x *tree.Index) { x.Entries[1], x.Entries[2] = x.Entries[2], x.Entries[1] },
		"twice":             func(x *tree.Index) { x.Entries[1] = x.Entries[0] },
		"unclean":           func(x *tree.Index) { x.Entries[1].Path = "dev//null" },
		"..":                func(x *tree.Index) { x.Entries[1].Path = "dev/.." },
		"whiteout":          func(x *tree.Index) { x.Entries[1].Path = "dev/.wh.null" },
		"kind":              func(x *tree.Index) { x.Entries[0].Kind = 0 },
		"mode":              func(x *tree.Index) { x.Entries[0].Mode = 0o100755 },
		"owner":             func(x *tree.Index) { x.Entries[0].UID = -1 },
		"size":              func(x *tree.Index) { x.Entries[3].Size = -1 },
		"nanoseconds":       func(x *tree.Index) { x.Entries[0].Nsec = -1 },
		"size of directory": func(x *tree.Index) { x.Entries[0].Size = 1 },
		"target":            func(x *tree.Index) { x.Entries[5].Target = "" },
		"target of file":    func(x *tree.Index) { x.Entries[6].Target = "x" },
		"device of file":    func(x *tree.Index) { x.Entries[6].Major = 1 },
		"device":            func(x *tree.Index) { x.Entries[1].Minor = 1 << 33 },
		"attributes":        func(x *tree.Index) { x.Entries[2].Xattrs[1].Name = "user.a" },
		"attribute name":    func(x *tree.Index) { x.Entries[2].Xattrs[0].Name = "" },
		"group":             func(x *tree.Index) { x.Entries[3].Link = "" },
		"group content":     func(x *tree.Index) { x.Entries[4].Digest[0]++ },
		"group time":        func(x *tree.Index) { x.Entries[4].Nsec++ },
		"group of dirs":     func(x *tree.Index) { x.Entries[0].Link = "." },
		"links":             func(x *tree.Index) { x.Links[0].Path = "c" },
		"link":              func(x *tree.Index) { x.Links[0].Path = "../c" },
		"link target":       func(x *tree.Index) { x.Links[0].Target = "/c" },
		"whiteouts":         func(x *tree.Index) { x.Whiteouts[1] = "usr/a" },
		"opaque":            func(x *tree.Index) { x.Opaque[1] = "./var" },
		"tar size":          func(x *tree.Index) { x.TarSize = -1 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := sampleIndex()
			spoil(x)
			if n, err := x.WriteTo(io.Discard); !errors.Is(err, tree.ErrInvalid) || n != 0 {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

func TestReadIndexRefuses(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if _, err := sampleIndex().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() {
		if _, err := tree.ReadIndex(bytes.NewReader(b.Bytes()[:n]), tree.Limits{}); !errors.Is(err, tree.ErrInvalid) {
			t.Errorf("cut at %d: %v", n, err)
		}
		fault := io.ErrUnexpectedEOF
		r := io.MultiReader(bytes.NewReader(b.Bytes()[:n]), iotest.ErrReader(fault))
		if _, err := tree.ReadIndex(r, tree.Limits{}); err != fault {
			t.Errorf("broken at %d: %v", n, err)
		}
	}
	more := append(bytes.Clone(b.Bytes()), Zstd(t, []byte("x"))...)
	if _, err := tree.ReadIndex(bytes.NewReader(more), tree.Limits{}); !errors.Is(err, tree.ErrInvalid) {
		t.Errorf("bytes after the end: %v", err)
	}
	if _, err := tree.ReadIndex(strings.NewReader("strata index 2\n"), tree.Limits{}); !errors.Is(err, tree.ErrInvalid) {
		t.Errorf("another version: %v", err)
	}
	for name, lim := range map[string]tree.Limits{
		"meta": {MetaBytes: 60}, "path": {Path: 9}, "depth": {Depth: 1}, "entries": {Entries: 6},
	} {
		if _, err := tree.ReadIndex(bytes.NewReader(b.Bytes()), lim); !errors.Is(err, tree.ErrLimit) &&
			!errors.Is(err, tree.ErrInvalid) {
			t.Errorf("limit of %s: %v", name, err)
		}
	}
}

// TestIndexOfManyLinks stores the attributes of a hardlink group once, however many names it has.
func TestIndexOfManyLinks(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 60000)
	items := []Item{File("0", "").WithXattr("user.x", big)}
	for range 300 {
		items = append(items, Hardlink(items[len(items)-1].Name+"0", "0"))
	}
	x := Index(t, items...)
	if len(x.Entries) != 301 {
		t.Fatalf("%d entries", len(x.Entries))
	}
	var b bytes.Buffer
	if _, err := x.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if n := len(payload(t, b.Bytes())); n > 70000 {
		t.Errorf("%d bytes", n)
	}
}
