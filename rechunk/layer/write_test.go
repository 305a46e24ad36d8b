package layer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// The bytes of a layer are part of what is promised: the same source and lineage give the same digests on every machine and
// with every later version. When a library update changes them, clients fetch again what they have; think before changing a
// digest here.
func TestGolden(t *testing.T) {
	t.Parallel()
	contents := Contents{}
	// Noise, text, the noise again from further away than a gzip window, and so much that a zstd window is left behind.
	body := noise(1<<20) + text(1<<20) + noise(2<<20) + text(16<<20)
	large := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755},
		{Path: "large", Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)), Digest: contents.Add(body)},
	}}
	small, of := gallery()
	// What archive/tar has one way to write.
	ordinary := &tree.Tree{Entries: slices.DeleteFunc(slices.Clone(small.Entries), func(e tree.Entry) bool {
		return len(e.Path) > 100 || len(e.Target) > 100 ||
			strings.ContainsFunc(e.Path, func(r rune) bool { return r >= 0x80 })
	})}
	told, _ := tellable()
	cases := []struct {
		name         string
		tree         *tree.Tree
		contents     Contents
		c            layer.Format
		digest, diff digest.Digest
	}{
		{"gallery", small, of, layer.Zstd,
			"sha256:b19732f5141530438ae0caf974e8881a3c13b5d7df746b3e215dd0a63e299608",
			"sha256:301b54eb5de93d5859ba6dd2087c9b9fe98ab3e3334a520cb6be2c15e5f4489c"},
		{"gallery", small, of, layer.Gzip,
			"sha256:29a231bb8a260f640755ffb809fc9dd44abe0be0cab7d82c9896296ee384b885",
			"sha256:301b54eb5de93d5859ba6dd2087c9b9fe98ab3e3334a520cb6be2c15e5f4489c"},
		{"ordinary", ordinary, of, layer.Zstd,
			"sha256:cd0d7bdb8ceb98731572ba3fb9e7610399194d77426735b924653ed0f63288ec",
			"sha256:ecaae7e6e0028533043af61b12a286268063a17c1f6bc82305cc512322aab971"},
		{"large", large, contents, layer.Zstd,
			"sha256:1c9c0647b9dd4149bd20b5af17e7653ad153f17e70e6368bbefdee676531020f",
			"sha256:0e4338ee7f17aa073ba06565d0041aef15ba4db9eafc47fd04b214dc0d0787e2"},
		{"large", large, contents, layer.Gzip,
			"sha256:d1eb3002ae6f7465b57c5a09f5d73f1644fe2c021ff3aa0d9ba68a95c338d0d5",
			"sha256:0e4338ee7f17aa073ba06565d0041aef15ba4db9eafc47fd04b214dc0d0787e2"},
		{"tellable", told, of, layer.Chunked,
			"sha256:cd1a711f431e5951863a0faee0593aabc00031eb05d7de48d9684008698e48a7",
			"sha256:8812c677c34a2d335134a45a130df1117568f77ad75914417024532b7d605708"},
		{"large", large, contents, layer.Chunked,
			"sha256:bedc4d5c4377212fd01c2627e0f8c644976714a3f50f62fff77718660f060779",
			"sha256:0e4338ee7f17aa073ba06565d0041aef15ba4db9eafc47fd04b214dc0d0787e2"},
	}
	for _, c := range cases {
		b, blob := write(t, c.tree, all(c.tree), c.contents, c.c)
		_, diff, err := layer.Read(t.Context(), bytes.NewReader(b), blob, c.c, tree.Limits{})
		if got := digest.FromBytes(b); err != nil || got != c.digest || diff != c.diff {
			t.Errorf("%s, %s: digest %q, diff_id %q, %v", c.name, c.c, got, diff, err)
		}
	}
}

// What is written is what is read by other tar and zstd code, every header field of it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want, contents := gallery()
	for _, c := range layer.Formats() {
		b, blob := write(t, want, all(want), contents, c)
		got, err := Reference(unpack(t, b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c, diff)
		}
		index, _, err := layer.Read(t.Context(), bytes.NewReader(b), blob, c, tree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Entries, index.Entries); diff != "" || index.TarSize != blob.TarSize {
			t.Errorf("%s: -want +got\n%s", c, diff)
		}
		if blob.Size != int64(len(b)) {
			t.Errorf("%s: %+v for %d bytes", c, blob, len(b))
		}
	}
}

// Directories come before what they hold, whether they were listed or not, and so do the targets of hardlinks.
func TestOrder(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	cases := map[string]struct {
		layer *held
		want  []string
	}{
		"nothing":             {&held{}, []string{"."}},
		"the root":            {pick(t, full, "."), []string{"."}},
		"a name before a dot": {pick(t, full, "-"), []string{".", "-"}},
		"ancestors":           {pick(t, full, longName), []string{".", "d", tree.Parent(longName), longName}},
		"a directory":         {pick(t, full, "empty"), []string{".", "empty"}},
		"hardlinks": {pick(t, full, "d/z/link", "d/link-b", "d/link-a"),
			[]string{".", "d", "d/link-a", "d/link-b > d/link-a", "d/z", "d/z/link > d/link-a"}},
		"some of a group": {pick(t, full, "d/z/link", "d/link-a"),
			[]string{".", "d", "d/link-a", "d/z", "d/z/link > d/link-a"}},
		"whiteouts": {&held{Whiteouts: []string{"d/gone", "d/z/gone", "gone"}},
			[]string{".", ".wh.gone", "d", "d/.wh.gone", "d/z", "d/z/.wh.gone"}},
		"whiteouts and files": {&held{Entries: pick(t, full, "dev/null", "-").Entries,
			Whiteouts: []string{"d/gone", "empty/a", "empty/b"}},
			[]string{".", "-", "d", "d/.wh.gone", "dev", "dev/null", "empty", "empty/.wh.a", "empty/.wh.b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := write(t, full, c.layer, contents, layer.Zstd)
			var got []string
			for _, i := range unpack(t, b) {
				if i.Linkname != "" {
					i.Name += " > " + i.Linkname
				}
				got = append(got, i.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	altered := func(p string, f func(*tree.Entry)) (*tree.Tree, *held) {
		copied, _ := gallery()
		l := pick(t, copied, p)
		f(copied.Lookup(p))
		return copied, l
	}
	cases := map[string]struct {
		change func(*tree.Entry)
		path   string
		want   string
	}{
		"content is longer":   {func(e *tree.Entry) { e.Size-- }, "d/é", "content of more than 4 bytes"},
		"content is shorter":  {func(e *tree.Entry) { e.Size++ }, "d/é", "content of 5 bytes, want 6"},
		"content is missing":  {func(e *tree.Entry) { e.Digest[0]++ }, "d/é", "no such content"},
		"no kind":             {func(e *tree.Entry) { e.Kind = 0 }, "d/é", "has no kind"},
		"link without target": {func(*tree.Entry) {}, "d/link-b", `hardlink "d/link-b" without "d/link-a"`},
		"name with NUL":       {func(e *tree.Entry) { e.Path = "d/\x00" }, "d/é", "tar"},
		"xattr with an =":     {func(e *tree.Entry) { e.Xattrs = []tree.Xattr{{Name: "user.a=b"}} }, "d/é", "PAX"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			copied, l := altered(c.path, c.change)
			_, err := writeOne(t.Context(), io.Discard, copied, l, contents, layer.Gzip)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, p := range []string{"none/x", "d/é/x"} {
		if _, err := writeOne(t.Context(), io.Discard, full, &held{Whiteouts: []string{p}}, contents,
			layer.Zstd); err == nil {
			t.Errorf("a whiteout of %q was written", p)
		}
	}
	if _, err := writeOne(t.Context(), io.Discard, full, all(full), contents, layer.Compressed("lzma")); err == nil {
		t.Error("an unknown compression was used")
	}
}

var errFault = errors.New("injected fault")

type failingWriter struct{ left int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFault
	}
	return len(p), nil
}

type contentFunc func(tree.Digest) (io.ReadCloser, error)

func (f contentFunc) Open(d tree.Digest) (io.ReadCloser, error) { return f(d) }

func TestWriteFails(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	for _, c := range layer.Formats() {
		for n := 0; n < 2000; n += 97 {
			if _, err := writeOne(t.Context(), &failingWriter{n}, full, all(full), contents, c); err != nil &&
				!errors.Is(err, errFault) {
				t.Errorf("%s, writer fails after %d bytes: %v", c, n, err)
			}
		}
		broken := contentFunc(func(tree.Digest) (io.ReadCloser, error) {
			return io.NopCloser(iotest.ErrReader(errFault)),
				nil
		})
		if _, err := writeOne(t.Context(), io.Discard, full, all(full), broken, c); !errors.Is(err, errFault) {
			t.Errorf("%s, contents fail: %v", c, err)
		}
	}
	// The context ends while a content is copied.
	ctx, cancel := context.WithCancelCause(t.Context())
	ending := contentFunc(func(tree.Digest) (io.ReadCloser, error) {
		cancel(errFault)
		return io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), nil
	})
	if _, err := writeOne(ctx, io.Discard, full, all(full), ending, layer.Zstd); !errors.Is(err, errFault) {
		t.Errorf("context ends: %v", err)
	}
}

// The bytes depend neither on the number of cores, nor on who else writes, nor on the pieces in which contents come.
func TestReproducible(t *testing.T) {
	contents := Contents{}
	body := noise(2 << 20)
	full := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755},
		{Path: "x", Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)), Digest: contents.Add(body)},
	}}
	halves := contentFunc(func(d tree.Digest) (io.ReadCloser, error) {
		r, err := contents.Open(d)
		return struct {
			io.Reader
			io.Closer
		}{iotest.HalfReader(r), r}, err
	})
	for _, c := range layer.Formats() {
		want, _ := write(t, full, all(full), contents, c)
		before := runtime.GOMAXPROCS(1)
		one, _ := write(t, full, all(full), contents, c)
		runtime.GOMAXPROCS(before + 6)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				var got bytes.Buffer
				blob, err := writeOne(t.Context(), &got, full, all(full), halves, c)
				if err != nil || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s beside others: other bytes, %+v, %v", c, blob, err)
				}
			})
		}
		wg.Wait()
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(one, want) {
			t.Errorf("%s on one core: other bytes", c)
		}
	}
}

// A writer's bytes do not depend on what it wrote before, nor on a layer that failed in between.
func TestWriterIsAsNew(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compresses 200 MB")
	}
	full, contents := gallery()
	add := func(name, body string) {
		full.Entries = append(full.Entries,
			tree.Entry{Path: name, Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)), Digest: contents.Add(body)})
	}
	// More than a window, so that what is compared with lies behind in all layers.
	add("x-noise", noise(9<<20))
	add("x-text", text(1<<20))
	add("x-text-again", text(300<<10)+noise(300<<10))
	layers := []*held{
		all(full), pick(t, full, "x-text"), pick(t, full, "x-noise"), pick(t, full, "d/link-a", "d/caps"),
		pick(t, full, "x-text-again"), {},
	}
	broken := contentFunc(func(tree.Digest) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(noise(1<<20)), iotest.ErrReader(errFault))), nil
	})
	for _, c := range layer.Formats() {
		w, err := c.NewWriter()
		if err != nil {
			t.Fatal(err)
		}
		wants := make([]digest.Digest, len(layers))
		for i, l := range layers {
			b, _ := write(t, full, l, contents, c)
			wants[i] = digest.FromBytes(b)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		for n := range 8 {
			i := rng.IntN(len(layers))
			if n%4 == 3 {
				if _, err := writeTo(t.Context(), w, io.Discard, full, pick(t, full, "x-noise"), broken); !errors.Is(err,
					errFault) {
					t.Fatalf("%s: %v", c, err)
				}
			}
			sum := digest.SHA256.Hash()
			blob, err := writeTo(t.Context(), w, sum, full, layers[i], contents)
			if got := digest.NewDigest(digest.SHA256, sum); err != nil || got != wants[i] {
				t.Fatalf("%s, layer %d: %s, %+v, %v; a new writer gives %s", c, n, got, blob, err, wants[i])
			}
		}
	}
}

// Other programs read what is written.
func TestOtherReaders(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	l := all(full)
	l.Whiteouts = []string{"d/gone"}
	for c, tests := range map[layer.Format][][]string{
		layer.Zstd:    {{"zstd", "-t", "-q"}, {"tar", "--zstd", "-tvf"}, {"bsdtar", "-tvf"}},
		layer.Chunked: {{"zstd", "-t", "-q"}, {"tar", "--zstd", "-tvf"}, {"bsdtar", "-tvf"}},
		layer.Gzip:    {{"gzip", "-t"}, {"tar", "-tvzf"}, {"bsdtar", "-tvf"}},
	} {
		b, _ := write(t, full, l, contents, c)
		name := filepath.Join(t.TempDir(), "layer.gz")
		if c != layer.Gzip {
			name = filepath.Join(t.TempDir(), "layer.zst")
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range tests {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Logf("%s is not installed", args[0])
				continue
			}
			out, err := exec.CommandContext(t.Context(), args[0], append(args[1:], name)...).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
			if lines := strings.Count(string(out), "\n"); strings.Contains(args[0], "tar") && lines != len(full.Entries)+1 {
				t.Errorf("%v lists %d of %d entries:\n%s", args, lines, len(full.Entries)+1, out)
			}
		}
	}
}
