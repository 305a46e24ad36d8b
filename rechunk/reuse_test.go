package rechunk_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// system is a small filesystem of three components; version says what the files of the middle one hold.
func system(version string, stamp time.Time) []Item {
	items := []Item{Dir("."), Dir("usr"), Dir("usr/bin")}
	for c := range 3 {
		for f := range 4 {
			body := strings.Repeat(fmt.Sprintf("component %d file %d\n", c, f), 500)
			if c == 1 && f == 0 {
				body += version
			}
			items = append(items, File(fmt.Sprintf("usr/bin/c%df%d", c, f), body).WithXattr("user.component",
				fmt.Sprint("c", c)))
		}
	}
	for i := range items {
		items[i] = items[i].WithTime(stamp)
	}
	return items
}

var stamp = time.Unix(1_600_000_000, 0)

func source(tb testing.TB, layers ...[]Item) *rechunktest.Image {
	tb.Helper()
	return rechunktest.NewImage(tb, rechunktest.ImageOptions{}, layers...)
}

func TestRebuilds(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		next [][]Item
		// kept says that all layers are kept; most bounds the bytes that are new otherwise.
		kept bool
		most int64
	}{
		"nothing changes, other layers": {next: [][]Item{system("1", stamp)[:7], system("1", stamp)}, kept: true},
		"times change":                  {next: [][]Item{system("1", stamp.Add(time.Hour))}, most: 300},
		"one file changes":              {next: [][]Item{system("2", stamp.Add(time.Hour))}, most: 700},
		"one file goes":                 {next: [][]Item{system("1", stamp), {Whiteout("usr/bin/c1f0")}}, most: 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			first, _ := b.serve(t, source(t, system("1", stamp)), rules)
			v, s := b.serve(t, source(t, c.next...), rules)
			same(t, reference(t, c.next...), s.Tree, false)
			if all := v.LayersNew == 0 && v.LayersKept == first.LayersTotal && v.NewBytes == 0; all != c.kept {
				t.Errorf("%d kept of %d, %d new, %d bytes", v.LayersKept, first.LayersTotal, v.LayersNew, v.NewBytes)
			}
			if v.NewBytes > c.most || !c.kept && (v.LayersNew != 1 || v.LayersKept == 0) {
				t.Errorf("%d new layers of %d bytes, want one of at most %d; %d kept", v.LayersNew, v.NewBytes, c.most,
					v.LayersKept)
			}
		})
	}
}

func TestExactTimeWritesNewTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := rules
	o.ExactTime = true
	b.serve(t, source(t, system("1", stamp)), o)
	next := system("1", stamp.Add(time.Hour+time.Nanosecond))
	_, s := b.serve(t, source(t, next), o)
	same(t, reference(t, next), s.Tree, true)
}

// A layer that is known is neither fetched nor read again, though its files are in the image.
func TestKnownLayersAreNotFetched(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	base, more := system("1", stamp), []Item{Dir("etc"), File("etc/conf", "more")}
	b.serve(t, source(t, base), rules)

	second := source(t, base, more)
	_, s := b.serve(t, second, rules)
	same(t, reference(t, base, more), s.Tree, false)
	if n := second.Reads(second.Layers[0]); n != 0 {
		t.Errorf("the known layer was fetched %d times", n)
	}
	if n := second.Reads(second.Layers[1]); n != 1 {
		t.Errorf("the new layer was fetched %d times", n)
	}

	again := source(t, base, more)
	if r := b.rechunk(t, again, "test", rules); again.LayerReads() != 0 || r.LayersKept == r.LayersTotal {
		t.Errorf("the same image was read again: %d layers fetched, %+v", again.LayerReads(), r)
	}
}

// When contents of a known layer are wanted, they come out of kept layers, or else from the source once more.
func TestContentsOfKnownLayers(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			img := source(t, system("1", stamp), []Item{Dir("usr").WithMode(0o700)})
			b.serve(t, source(t, system("1", stamp)), rules)
			lineage := "test"
			if !stored {
				lineage = "other"
			}
			v := b.version(t, lineage, b.rechunk(t, img, lineage, rules))
			s, err := rechunktest.Check(b.store, v)
			if err != nil {
				t.Fatal(err)
			}
			same(t, reference(t, system("1", stamp), []Item{Dir("usr").WithMode(0o700)}), s.Tree, false)
			if n := img.Reads(img.Layers[0]); n != 1 && !stored || n != 0 && stored {
				t.Errorf("the known layer was fetched %d times", n)
			}
		})
	}
}

// An image may name a layer twice; it is read once.
func TestLayerTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	one, two := []Item{Dir("."), File("a", "1")}, []Item{File("a", "2")}
	img := source(t, one, two, one)
	_, s := b.serve(t, img, rules)
	same(t, reference(t, one, two, one), s.Tree, true)
	if n := img.Reads(img.Layers[0]); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// The order in which layers arrive does not change what is made of them.
func TestFetchOrder(t *testing.T) {
	t.Parallel()
	layers := [][]Item{system("1", stamp), {File("usr/bin/c0f0", "two")}, {File("usr/bin/c0f1", "three")}}
	want := newBench(t, &rechunktest.MemoryStore{}, 1).rechunk(t, source(t, layers...), "test", rules).Digest
	img := source(t, layers...)
	last := make(chan struct{})
	img.Wrap = func(d digest.Digest, r io.Reader) io.Reader {
		switch d {
		case img.Layers[0]:
			<-last
		case img.Layers[2]:
			return &atEnd{r, func() { close(last) }}
		}
		return r
	}
	if got := newBench(t, &rechunktest.MemoryStore{}, 3).rechunk(t, img, "test", rules).Digest; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// atEnd calls done once, at the end of r.
type atEnd struct {
	r    io.Reader
	done func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err != nil && a.done != nil {
		a.done()
		a.done = nil
	}
	return n, err
}

func TestCompressionSwitch(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	img := source(t, system("1", stamp))
	b.serve(t, img, rules)
	o := rules
	o.Format = layer.Gzip
	v, _ := b.serve(t, img, o)
	if v.LayersKept != 0 || v.Sequence != 2 || !b.log.Has("not planned against") {
		t.Errorf("%d layers kept in version %d", v.LayersKept, v.Sequence)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	o := rules
	o.Versions = 3
	for n := range 6 {
		v, _ := b.serve(t, source(t, system(fmt.Sprint(n), stamp)), o)
		versions, err := b.LineageOf(t.Context(), "test", v.Platform)
		if err != nil || len(versions) != min(n+1, 3) || versions[0].Sequence != n+1 {
			t.Fatalf("run %d: %d versions, the newest is number %d: %v", n, len(versions), versions[0].Sequence, err)
		}
	}
	none, err := b.LineageOf(t.Context(), "test", "linux/s390x")
	if err != nil || len(none) != 0 {
		t.Errorf("another platform has %d versions: %v", len(none), err)
	}
}

// A version that comes back keeps all of its layers, and is in the lineage once.
func TestOldVersionComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	first, _ := b.serve(t, source(t, system("1", stamp)), rules)
	b.serve(t, source(t, system("2", stamp)), rules)
	v, _ := b.serve(t, source(t, system("1", stamp), []Item{Dir("usr")}), rules)
	if v.LayersNew != 0 || v.LayersTotal != first.LayersTotal {
		t.Errorf("%+v, want the layers of %+v", v.Result, first.Result)
	}
}
