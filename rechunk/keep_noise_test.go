package rechunk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// cpio is an archive of one file, made at a time.
func cpio(at int, body string) string {
	var b strings.Builder
	member := func(name, body string, mode, at int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", at, mode, 0, 0, 1, at, len(body),
			0, 0, 0, 0, len(name)+1, 0, name)
		for _, s := range []string{"", body} {
			b.WriteString(s)
			for b.Len()%4 != 0 {
				b.WriteByte(0)
			}
		}
	}
	member("init", body, 0o100755, at)
	member("TRAILER!!!", "", 0, 0)
	return b.String()
}

// gzipped is a gzip member, made at a time.
func gzipped(at int, body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.ModTime = time.Unix(int64(at), 0)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return b.String()
}

// randomText is a text that compresses badly enough for a layer of it to show.
func randomText(seed string) string {
	var b strings.Builder
	for i := range 2000 {
		b.WriteString(digest.FromString(fmt.Sprint(seed, i)).Encoded())
	}
	return b.String()
}

// noisy is a system that was built at a time: an initramfs, notes that no package ships, and a program.
func noisy(at int, kernel, notes string, more ...Item) []Item {
	when := time.Unix(int64(at), 0)
	items := append(system("1", stamp), Dir("boot"), Dir("usr/share"), Dir("usr/share/notes"),
		File("boot/initrd.img", cpio(1, "microcode")+gzipped(0, cpio(at, kernel))).WithTime(when),
		File("usr/share/notes/all.gz", gzipped(at, notes)).WithTime(when),
		File("usr/share/notes/built", fmt.Sprint(at)).WithTime(when))
	return append(items, more...)
}

var keep = func() rechunk.Options {
	o := rules
	o.KeepNoise = true
	return o
}()

func digestOf(t *tree.Tree, p string) string { return t.Lookup(p).Digest.String() }

// TestKeepNoise serves builds of one system: the first initramfs stays until another one differs in more than times.
func TestKeepNoise(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	one, two, notes := randomText("one"), randomText("two"), randomText("notes")
	var before *tree.Tree
	for n, tc := range []struct {
		kernel, notes string
		kept          []string
	}{
		{one, notes, nil},
		{one, notes, []string{"boot/initrd.img", "usr/share/notes/all.gz"}},
		{one, notes + "more", []string{"boot/initrd.img"}},
		{two, notes + "more", []string{"usr/share/notes/all.gz"}},
		{two, notes + "more", []string{"boot/initrd.img", "usr/share/notes/all.gz"}},
	} {
		img := source(t, noisy(1000+n, tc.kernel, tc.notes))
		v, s := b.serve(t, img, keep)
		record, err := b.PlanOf(t.Context(), v.Digest)
		if err != nil {
			t.Fatal(err)
		}
		want := reference(t, noisy(1000+n, tc.kernel, tc.notes))
		var told []string
		for _, k := range record.NoiseKept {
			told = append(told, k.Path)
			e, was := want.Lookup(k.Path), before.Lookup(k.Path)
			if k.Source.Encoded() != e.Digest.String() || k.Served.Encoded() != was.Digest.String() ||
				k.SourceSize != e.Size ||
				k.ServedSize != was.Size || k.What == "" {
				t.Errorf("version %d: %+v", n, k)
			}
			e.Digest, e.Size = was.Digest, was.Size
		}
		if !slices.Equal(told, tc.kept) || v.NoiseKept != len(told) {
			t.Errorf("version %d: %d kept, %v, want %v", n, v.NoiseKept, told, tc.kept)
		}
		same(t, want, s.Tree, false)
		if n == 1 && v.NewBytes > 2000 {
			t.Errorf("%d new bytes for a rebuild", v.NewBytes)
		}
		annotated := strings.Contains(manifestOf(t, b, v), `"`+image.AnnotationNoise+`":"`+image.NoiseKept+`"`)
		if annotated != (len(told) > 0) {
			t.Errorf("version %d: annotated is %v", n, annotated)
		}
		checkTold(t, b, img, v, record.NoiseKept)
		before = s.Tree
	}
}

func manifestOf(tb testing.TB, b *bench, v rechunk.Version) string {
	tb.Helper()
	m, ok := b.store.Blob(v.Digest)
	if !ok {
		tb.Fatal("no manifest")
	}
	return string(m)
}

// checkTold has somebody else find what was kept, from the two images alone.
func checkTold(tb testing.TB, b *bench, img *rechunktest.Image, v rechunk.Version, want []rechunk.KeptFile) {
	tb.Helper()
	other := newBench(tb, &rechunktest.MemoryStore{}, 2)
	served, err := other.Inspect(tb.Context(), rechunk.Request{
		Digest: v.Digest, Manifest: []byte(manifestOf(tb, b, v)), Source: storeSource{b.store},
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer served.Close()
	got, err := served.NoiseKept(tb.Context(), inspect(tb, other, img))
	if err != nil || !slices.Equal(got, want) {
		tb.Errorf("found %+v, %v, want %+v", got, err, want)
	}
}

// TestKeepNoiseLeaves has images and files of which nothing may be kept.
func TestKeepNoiseLeaves(t *testing.T) {
	t.Parallel()
	exact := keep
	exact.ExactTime = true
	kernel, notes := randomText("kernel"), randomText("notes")
	shipped := func(p string) []Item {
		return []Item{Dir("var"), Dir("var/lib"), Dir("var/lib/dpkg"), Dir("var/lib/dpkg/info"),
			File("var/lib/dpkg/status", "Package: notes\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"),
			File("var/lib/dpkg/info/notes.list", p+"\n")}
	}
	for name, tc := range map[string]struct {
		options rechunk.Options
		labels  map[string]string
		more    []Item
		kept    int
	}{
		"nothing":         {options: keep, kept: 2},
		"noise: serve":    {options: rules},
		"mtime: preserve": {options: exact},
		"sealed":          {options: keep, labels: map[string]string{"containers.bootc": "1", "x.composefs.digest": "y"}},
		"a UKI": {options: keep, more: []Item{Dir("usr/lib"), Dir("usr/lib/modules"), Dir("usr/lib/modules/1"),
			File("usr/lib/modules/1/linux.efi", "MZ")}},
		"shipped":              {options: keep, more: shipped("/usr/share/notes/all.gz"), kept: 1},
		"shipped and not here": {options: keep, more: shipped("/usr/share/all.gz"), kept: 2},
		"a damaged database": {options: keep,
			more: []Item{Dir("usr/lib"), Dir("usr/lib/sysimage"), Dir("usr/lib/sysimage/rpm"),
				File("usr/lib/sysimage/rpm/rpmdb.sqlite", "SQLite format 3\x00")}},
		"a copy": {options: keep, more: []Item{
			File("boot/copy", cpio(1, "microcode")+gzipped(0, cpio(2000, kernel)))}, kept: 1},
		"a copy that is shipped": {options: keep, more: append(shipped("/usr/share/notes/copy.gz"),
			File("usr/share/notes/copy.gz", gzipped(2000, notes))), kept: 1},
		"a signature": {options: keep, more: []Item{File("boot/initrd.img.sig", "signed")}, kept: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			made := func(at int) *rechunktest.Image {
				return rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: maps.Clone(tc.labels)},
					noisy(at, kernel, notes, tc.more...))
			}
			b.serve(t, made(1000), tc.options)
			v, s := b.serve(t, made(2000), tc.options)
			if v.NoiseKept != tc.kept {
				t.Errorf("%d kept, want %d", v.NoiseKept, tc.kept)
			}
			if tc.kept == 0 {
				same(t, reference(t, noisy(2000, kernel, notes, tc.more...)), s.Tree, tc.options.ExactTime)
			}
		})
	}
}

// TestKeepNoiseOfOthers has tags of one lineage that hold different systems: each is compared with its own.
func TestKeepNoiseOfOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	one, two := randomText("one"), randomText("two")
	serve := func(ref, kernel string, at int) (rechunk.Version, *rechunktest.Served) {
		req := source(t, noisy(at, kernel, "notes")).Request("test", keep)
		req.Reference = ref
		r, err := b.Rechunk(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		v := b.version(t, "test", r)
		s, err := rechunktest.Check(b.store, v)
		if err != nil {
			t.Fatal(err)
		}
		return v, s
	}
	_, first := serve("one", one, 1)
	_, second := serve("two", two, 2)
	_, again := serve("one", one, 3)
	_, later := serve("two", two, 4)
	const p = "boot/initrd.img"
	if digestOf(again.Tree, p) != digestOf(first.Tree, p) || digestOf(later.Tree, p) != digestOf(second.Tree, p) {
		t.Error("a tag's initramfs was not kept")
	}
}

// TestKeepNoiseWithoutTheOld loses what was served before: the new files are served.
func TestKeepNoiseWithoutTheOld(t *testing.T) {
	t.Parallel()
	kernel := randomText("kernel")
	for name, harm := range map[string]func(*rechunktest.MemoryStore, digest.Digest){
		"lost":    func(s *rechunktest.MemoryStore, d digest.Digest) { s.DeleteBlob(d) },
		"damaged": func(s *rechunktest.MemoryStore, d digest.Digest) { s.PutBlob(d, []byte("damaged")) },
	} {
		b := newBench(t, &rechunktest.MemoryStore{}, 2)
		v, _ := b.serve(t, source(t, noisy(1, kernel, "notes")), keep)
		for _, l := range v.Layers {
			harm(b.store, l.Digest)
		}
		v, s := b.serve(t, source(t, noisy(2, kernel, "notes")), keep)
		if v.NoiseKept != 0 {
			t.Errorf("%s: %d kept", name, v.NoiseKept)
		}
		same(t, reference(t, noisy(2, kernel, "notes")), s.Tree, false)
	}
}

// TestPlanTellsNoise plans what is made then, and leaves records as they are without the option.
func TestPlanTellsNoise(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	kernel := randomText("kernel")
	b.serve(t, source(t, noisy(1, kernel, "notes")), keep)
	img := source(t, noisy(2, kernel, "notes"))
	d, err := b.Plan(t.Context(), img.Request("test", keep))
	if err != nil || len(d.NoiseKept) != 2 {
		t.Fatalf("%+v, %v", d.NoiseKept, err)
	}
	v, _ := b.serve(t, img, keep)
	record, err := b.PlanOf(t.Context(), v.Digest)
	if err != nil || !slices.Equal(record.NoiseKept, d.NoiseKept) {
		t.Errorf("%+v, %v", record.NoiseKept, err)
	}
	v, _ = b.serve(t, source(t, noisy(3, kernel, "notes")), rules)
	for _, doc := range []any{v, v.Result} {
		if raw, err := json.Marshal(doc); err != nil || strings.Contains(string(raw), "noise") {
			t.Errorf("%s, %v", raw, err)
		}
	}
}
