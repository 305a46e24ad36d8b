package toc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
)

// packed compresses a table and says where it is.
func packed(json string) ([]byte, toc.Place) {
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // fails for wrong options only
	raw := z.EncodeAll([]byte(json), nil)
	table := toc.Span{Offset: 1, Size: int64(len(raw)), Plain: int64(len(json))}
	return raw, toc.Place{Digest: digest.FromBytes(raw), Table: table}
}

// small is a layer and its table.
func small() (*tree.Index, string) {
	x := &tree.Index{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755},
		{Path: "a", Kind: tree.Regular, Mode: 0o644, UID: 1, GID: 2, Sec: 1, Nsec: 5, Size: 3, Digest: tree.Digest{1},
			Link:   "a",
			Xattrs: []tree.Xattr{{Name: "user.x", Value: "\xff"}}},
		{Path: "b", Kind: tree.Regular, Mode: 0o644, UID: 1, GID: 2, Sec: 1, Nsec: 5, Size: 3, Digest: tree.Digest{1},
			Link:   "a",
			Xattrs: []tree.Xattr{{Name: "user.x", Value: "\xff"}}},
		{Path: "c", Kind: tree.Symlink, Mode: 0o777, Target: "a"},
		{Path: "d", Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3},
	}, Whiteouts: []string{"gone"}}
	time, same := `"modtime":"1970-01-01T00:00:01.000000005Z"`, `"mode":420,"uid":1,"gid":2,"xattrs":{"user.x":"/w=="}`
	epoch := `"modtime":"1970-01-01T00:00:00Z"`
	entries := []string{
		`{"type":"dir","name":"./","mode":493,` + epoch + `}`,
		`{"type":"reg","name":".wh.gone","mode":420,` + epoch + `}`,
		`{"type":"reg","name":"a","size":3,` + same + `,` + time + `,"digest":"sha256:` + tree.Digest{1}.String() +
			`","offset":10,"endOffset":20,"chunkSize":2,"chunkDigest":"sha256:x"}`,
		`{"type":"chunk","name":"a","chunkOffset":2,"chunkSize":1}`,
		`{"type":"hardlink","name":"b","linkName":"a",` + same + `,` + time + `}`,
		`{"type":"symlink","name":"c","linkName":"a","mode":511,` + epoch + `}`,
		`{"type":"char","name":"d","mode":384,"devMajor":1,"devMinor":3,` + epoch + `}`,
	}
	return x, `{"version":1,"entries":[` + strings.Join(entries, ",") + `],"tarSplitDigest":"sha256:y"}`
}

// A table says of a layer what its tar stream does, or it is refused.
func ExampleCheck() {
	x := &tree.Index{Entries: []tree.Entry{{Path: "c", Kind: tree.Symlink, Mode: 0o777, Target: "a"}}}
	for _, target := range []string{"a", "b"} {
		raw, p := packed(`{"version":1,"entries":[{"type":"symlink","name":"c","linkName":"` + target +
			`","mode":511,"modtime":"1970-01-01T00:00:00Z"}]}`)
		fmt.Println(toc.Check(raw, p, x))
	}
	// Output:
	// <nil>
	// invalid table of contents: "c" has another type in it
}

func TestCheck(t *testing.T) {
	t.Parallel()
	x, good := small()
	raw, p := packed(good)
	if err := toc.Check(raw, p, x); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"mode":493`:                 `"mode":511`,
		`"uid":1`:                    `"uid":0`,
		`"gid":2`:                    `"gid":0`,
		`"size":3`:                   `"size":4`,
		`"digest":"sha256:01`:        `"digest":"sha256:02`,
		`"user.x"`:                   `"user.y"`,
		`"/w=="`:                     `"/w"`,
		`01.000000005Z`:              `01.000000006Z`,
		`"linkName":"a","mode":511`:  `"linkName":"b","mode":511`,
		`"name":"b","linkName":"a"`:  `"name":"b","linkName":"c"`,
		`"devMinor":3`:               `"devMinor":4`,
		`"type":"char"`:              `"type":"block"`,
		`"type":"hardlink"`:          `"type":"symlink"`,
		`"name":"d"`:                 `"name":"e"`,
		`"name":".wh.gone"`:          `"name":".wh.other"`,
		`{"type":"chunk","name":"a"`: `{"type":"chunk","name":"b"`,
		`"name":"d",`:                `"name":"d","name":"d",`,
		`"name":"d","mode"`:          `"name":"d","Mode"`,
		`"version":1`:                `"version":2`,
		`"version":1,`:               `"version":1,"version":1,`,
		`"tarSplitDigest"`:           `"TarSplitDigest"`,
		`"chunkSize":2`:              `"more":2`,
		`"sha256:y"}`:                `"sha256:y"} `,
		`,{"type":"char"`: `,{"type":"symlink","name":"c","linkName":"a","mode":511,"modtime":"1970-01-01T00:00:00Z"}` +
			`,{"type":"char"`,
		`]`:            `,{"type":"reg","name":"zz"}]`,
		`"entries":[{`: `"entries":[{"name":"` + strings.Repeat("x", 5<<20) + `"},{`,
	} {
		bad := strings.Replace(good, old, new, 1)
		if bad == good {
			t.Fatalf("no %s", old)
		}
		raw, p := packed(bad)
		if err := toc.Check(raw, p, x); !errors.Is(err, toc.ErrInvalid) {
			t.Errorf("%.100s: %v", new, err)
		}
	}
	for name, spoil := range map[string]func(*toc.Place, *tree.Index){
		"digest":       func(p *toc.Place, _ *tree.Index) { p.Digest = digest.FromString("x") },
		"length":       func(p *toc.Place, _ *tree.Index) { p.Table.Size++ },
		"plain":        func(p *toc.Place, _ *tree.Index) { p.Table.Plain-- },
		"more plain":   func(p *toc.Place, _ *tree.Index) { p.Table.Plain++ },
		"entry":        func(_ *toc.Place, x *tree.Index) { x.Entries = append(x.Entries, tree.Entry{Path: "z"}) },
		"whiteout":     func(_ *toc.Place, x *tree.Index) { x.Whiteouts = append(x.Whiteouts, "z") },
		"link":         func(_ *toc.Place, x *tree.Index) { x.Links = []tree.Link{{Path: "z", Target: "a"}} },
		"opaque":       func(_ *toc.Place, x *tree.Index) { x.Opaque = []string{"d"} },
		"no hard link": func(_ *toc.Place, x *tree.Index) { x.Entries[1].Link, x.Entries[2].Link = "", "" },
	} {
		x, good := small()
		raw, p := packed(good)
		spoil(&p, x)
		if err := toc.Check(raw, p, x); !errors.Is(err, toc.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A table is as hostile as what it came from.
func FuzzCheck(f *testing.F) {
	x, good := small()
	f.Add(good)
	f.Add(`{"version":1,"entries":[]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, json string) {
		raw, p := packed(json)
		if err := toc.Check(raw, p, x); err != nil && !errors.Is(err, toc.ErrInvalid) {
			t.Error(err)
		}
	})
}

func FuzzFind(f *testing.F) {
	a := annotations()
	f.Add(a[toc.AnnotationChecksum], a[toc.AnnotationPosition], a[toc.AnnotationTarSplit])
	f.Fuzz(func(t *testing.T, sum, table, split string) {
		p, err := toc.Find(map[string]string{toc.AnnotationChecksum: sum, toc.AnnotationPosition: table,
			toc.AnnotationTarSplit: split})
		if err == nil && (p.Table.Offset <= 0 || p.Table.Size <= 0 || p.TarSplit.Plain <= 0) {
			t.Errorf("%+v", p)
		}
	})
}
