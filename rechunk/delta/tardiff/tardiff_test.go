package tardiff_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Whatever the two filesystems are, the tar stream comes out as it went in.
func TestIdentity(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		r := NewRandom(seed)
		from := r.Tree(60)
		to := r.Edit(from, 40)
		old := image{from, held(r.Contents)}
		for _, layer := range [][]Item{r.Layer(from, to), r.Layer(&tree.Tree{}, to)} {
			for _, v := range versions {
				of, stream := target(t, layer...)
				diff, _ := makeDiff(t, of, old, v)
				got, err := apply(t, diff, old)
				if err != nil || !bytes.Equal(got, stream) {
					t.Fatalf("seed %d, version %d: %d bytes of %d, %v", seed, v, len(got), len(stream), err)
				}
			}
		}
	}
}

// Programs that were built anew are patches of the old ones, wherever they have gone to.
func TestPatches(t *testing.T) {
	t.Parallel()
	a, b, c := program(1, 300<<10), program(2, 200<<10), program(3, 100<<10)
	old := newImage(t, File("usr/bin/a", a), File("usr/lib/libb.so.1.2.3", b), File("usr/lib/modules/6.1-amd64/c.ko", c))
	for _, v := range versions {
		of, stream := target(t, File("usr/bin/a", rebuilt(1, a)), File("usr/lib/libb.so.1.2.4", rebuilt(2, b)),
			File("usr/lib/modules/6.2-amd64/c.ko", rebuilt(3, c)), File("usr/bin/copy", a),
			File("usr/bin/new", program(4, 1000)))
		diff, report := makeDiff(t, of, old, v)
		got, err := apply(t, diff, old)
		if err != nil || !bytes.Equal(got, stream) {
			t.Fatalf("version %d: %v", v, err)
		}
		if len(diff)*20 > len(stream) {
			t.Errorf("version %d: %d bytes for a layer of %d", v, len(diff), len(stream))
		}
		var lines []string
		for _, i := range report.Items {
			lines = append(lines, fmt.Sprint(i.Path, " ", i.How, " ", i.Source))
		}
		want := []string{"usr/bin/a patch usr/bin/a", "usr/lib/libb.so.1.2.4 patch usr/lib/libb.so.1.2.3",
			"usr/lib/modules/6.2-amd64/c.ko patch usr/lib/modules/6.1-amd64/c.ko", "usr/bin/copy same usr/bin/a",
			"usr/bin/new whole "}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("version %d: -want +got\n%s", v, diff)
		}
	}
}

// Streams that are no tar, end early, hold sparse files or a path twice come out as they went in, too.
func TestStrangeStreams(t *testing.T) {
	t.Parallel()
	body := program(7, 50<<10)
	old := newImage(t, File("a", body))
	whole := Tar(t, File("a", body), File("a", body[:20<<10]+"x"+body[20<<10+1:]), File("./a", body), File("b", body))
	entries := []tree.Entry{old.tree.Entries[1]}
	for name, stream := range map[string][]byte{
		"nothing": {}, "no tar": []byte(body), "twice": whole, "cut in a header": whole[:600],
		"cut in a file": whole[:30<<10], "more behind the end": append(slices.Clone(whole), body...),
		"sparse": sparseTar(body),
	} {
		for _, v := range versions {
			diff, _ := makeDiff(t, targetOf(stream, entries), old, v)
			got, err := apply(t, diff, old)
			if err != nil || !bytes.Equal(got, stream) {
				t.Errorf("%s, version %d: %d bytes of %d, %v", name, v, len(got), len(stream), err)
			}
		}
	}
}

// sparseTar is a GNU sparse file, whose content is a hole and a little data.
func sparseTar(body string) []byte {
	h := make([]byte, 512)
	copy(h, "a")
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], "00000001000\x0000000000000\x00")
	h[156] = tar.TypeGNUSparse
	copy(h[257:], "ustar  \x00")
	copy(h[386:], fmt.Sprintf("%011o\x00%011o\x00", len(body)-512, 512))
	copy(h[483:], fmt.Sprintf("%011o\x00", len(body)))
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return slices.Concat(h, []byte(body[len(body)-512:]), make([]byte, 1024))
}

// What the index says of a file's content is not believed.
func TestMakeWrongIndex(t *testing.T) {
	t.Parallel()
	a, b := program(1, 5000), program(2, 5000)
	old := newImage(t, File("a", a), File("b", b))
	of, stream := target(t, File("a", b))
	of.Entries[len(of.Entries)-1].Digest = old.tree.Lookup("a").Digest
	diff, _ := makeDiff(t, of, old, tardiff.V1)
	if got, err := apply(t, diff, old); err != nil || !bytes.Equal(got, stream) {
		t.Error(err)
	}
}

func TestMakeFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	old := newImage(t, File("a", "content of a"))
	fresh := func(change func(*delta.Target)) delta.Target {
		of, _ := target(t, File("a", "content of a"))
		change(&of)
		return of
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	for name, tc := range map[string]struct {
		ctx    context.Context
		of     delta.Target
		from   held
		w      *limited
		expect error
	}{
		"another length": {t.Context(), fresh(func(of *delta.Target) { of.TarSize++ }), old.contents, nil, delta.ErrInvalid},
		"another digest": {t.Context(), fresh(func(of *delta.Target) { of.DiffID = "sha256:0" }), old.contents, nil,
			delta.ErrInvalid},
		"no stream": {t.Context(), fresh(func(of *delta.Target) { of.Tar = iotest.ErrReader(boom) }), old.contents, nil,
			boom},
		"no source": {t.Context(), fresh(func(*delta.Target) {}), held{}, nil, delta.ErrSource},
		"no room":   {t.Context(), fresh(func(*delta.Target) {}), old.contents, &limited{boom, 8}, boom},
		"no room 2": {t.Context(), fresh(func(*delta.Target) {}), old.contents, &limited{boom, 0}, boom},
		"ended":     {ended, fresh(func(*delta.Target) {}), old.contents, nil, boom},
	} {
		if tc.w == nil {
			tc.w = &limited{boom, 1 << 20}
		}
		_, err := tardiff.Make(tc.ctx, tc.w, tc.of, tardiff.Nameable(old.tree), tardiff.Options{Contents: tc.from})
		if !errors.Is(err, tc.expect) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// limited takes so many bytes.
type limited struct {
	err error
	n   int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.n {
		return 0, l.err
	}
	l.n -= len(p)
	return len(p), nil
}

// Files that hosts have under another path, or not for everybody, are no sources.
func TestNameable(t *testing.T) {
	t.Parallel()
	old := newImage(t, File("etc/a", "a"), File("etc/shadow", "b").WithMode(0o600), File("var/lib/c", "c"),
		File("sysroot/ostree/repo/objects/aa", "d"), File("usr/empty", ""), File("usr/x\xff", "e"), File("usr/f", "f"),
		Symlink("usr/g", "f"), File("variant", "h"))
	var got []string
	for _, f := range tardiff.Nameable(old.tree) {
		got = append(got, f.Path)
	}
	if diff := cmp.Diff([]string{"etc/a", "usr/f", "variant"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// ostree keeps an image's etc in usr/etc.
func TestFilesEtc(t *testing.T) {
	t.Parallel()
	there := newImage(t, File("usr/etc/a", "of ostree"), File("usr/etc/b", "default"), File("etc/b", "own"))
	files := tardiff.NewFiles(there.tree, there.contents)
	for name, want := range map[string]string{"etc/a": "of ostree", "/etc/b": "own", "./usr/etc/b": "default",
		"etc/c": "", "usr/etc": "", "": "", "..": "", "../etc/b": "own", strings.Repeat("x", 5000): ""} {
		c, err := files.Open(t.Context(), name)
		if want == "" {
			if !errors.Is(err, tardiff.ErrSource) || len(err.Error()) > 500 {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		b := make([]byte, 20)
		n, _ := c.ReadAt(b, 0)
		if err != nil || string(b[:n]) != want {
			t.Errorf("%q: %q, %v", name, b[:n], err)
		}
	}
}

// A file of another name is made of the one that has its bytes, whatever that one is called.
func TestSourceByContent(t *testing.T) {
	t.Parallel()
	body := program(7, 300_000)
	old := newImage(t, File("usr/lib/first.bin", body), File("usr/lib/other.bin", program(8, 310_000)))
	for _, v := range versions {
		of, stream := target(t, File("usr/share/of-another-name", rebuilt(7, body)))
		diff, r := makeDiff(t, of, old, v)
		if len(diff) > len(body)/10 || r.Items[0].Source != "usr/lib/first.bin" || r.Items[0].How != delta.Patch {
			t.Errorf("version %d: %d bytes, %+v", v, len(diff), r.Items[0])
		}
		if got, err := apply(t, diff, old); err != nil || !bytes.Equal(got, stream) {
			t.Errorf("version %d: wrong bytes, %v", v, err)
		}
	}
}
