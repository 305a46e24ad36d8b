package scan_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func newSpool(t testing.TB) *scan.Spool {
	t.Helper()
	s, err := scan.NewSpool(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// randomFiles has sizes around the buffers of the spool and the scanner, and repeats some contents.
func randomFiles(seed uint64, n int) []Item {
	rng := rand.New(rand.NewPCG(seed, 1))
	sizes := []int{0, 1, 511, 512, 128 << 10, 256 << 10, 1 << 20, 2 << 20, 8 << 20}
	var items []Item
	for i := range n {
		size := sizes[rng.IntN(len(sizes))]
		switch rng.IntN(8) {
		case 0, 1, 2, 3, 4:
			size = rng.IntN(3000)
		case 5:
			size += rng.IntN(5)
		case 6:
			size = rng.IntN(2 << 20)
		}
		body := make([]byte, size)
		if rng.IntN(4) > 0 {
			// Distinct from start to end, so that a shifted read is seen.
			word := fmt.Sprintf("%d/%d/%d;", seed%3, i, size)
			for j := 0; j < size; j += len(word) {
				copy(body[j:], fmt.Sprintf("%d.%s", j, word))
			}
		}
		items = append(items, File(fmt.Sprintf("%d-%d", seed, i), string(body)))
	}
	return items
}

// TestSpool scans layers into one spool at the same time and reads everything back.
func TestSpool(t *testing.T) {
	t.Parallel()
	spool := newSpool(t)
	var g errgroup.Group
	g.SetLimit(4)
	layers := make([][]Item, 6)
	for i := range layers {
		layers[i] = randomFiles(uint64(i), 40)
		blob := Tar(t, layers[i]...)
		g.Go(func() error {
			_, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Spool: spool})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, items := range layers {
		for _, i := range items {
			total += i.Size
			d := tree.Digest(sha256.Sum256([]byte(i.Body)))
			if !spool.Has(d) {
				t.Fatalf("%s is missing", i.Name)
			}
			r, err := spool.Open(d)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != i.Body {
				t.Errorf("%s: %d bytes of %d, equal: %v, error %v", i.Name, len(got), i.Size, string(got) == i.Body, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if spool.Size() > total+total/4 {
		t.Errorf("the spool takes %d bytes for %d", spool.Size(), total)
	}
	if _, err := spool.Open(tree.Digest{1}); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("unknown digest: %v", err)
	}
}

// TestSpoolKeepsOnce has the same contents again and again; only the first takes room.
func TestSpoolKeepsOnce(t *testing.T) {
	t.Parallel()
	spool := newSpool(t)
	items := randomFiles(7, 30)
	scanInto := func(items ...Item) {
		if _, err := scan.Layer(t.Context(), bytes.NewReader(Tar(t, items...)), scan.Options{Spool: spool}); err != nil {
			t.Fatal(err)
		}
	}
	scanInto(items...)
	size := spool.Size()
	big := File("big", string(bytes.Repeat([]byte("0123456789abcde\n"), 200_000)))
	scanInto(append(items, items...)...)
	scanInto(big, big, big, items[3], big, File("last", "last"))
	scanInto(big, items[5])
	if grown := spool.Size() - size; grown > 16<<20 {
		t.Errorf("the spool grew by %d bytes", grown)
	}
	for _, i := range append(items, big, File("last", "last")) {
		r, err := spool.Open(sha256.Sum256([]byte(i.Body)))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(r); string(got) != i.Body {
			t.Errorf("%s differs", i.Name)
		}
	}
}

func TestSpoolFails(t *testing.T) {
	t.Parallel()
	if _, err := scan.NewSpool(t.TempDir()+"/nothing", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	spool, err := scan.NewSpool(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := spool.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = scan.Layer(t.Context(), bytes.NewReader(Tar(t, File("a", string(make([]byte, 2<<20))))),
		scan.Options{Spool: spool})
	if !errors.Is(err, os.ErrClosed) || errors.Is(err, tree.ErrInvalid) {
		t.Errorf("a closed spool: %v", err)
	}
}

// Of a scan that wants some files, these can be opened while it goes on, and nothing else takes room.
func TestSpoolWanted(t *testing.T) {
	t.Parallel()
	spool := newSpool(t)
	items := append(randomFiles(3, 40), File("wanted", "this one"), File("last", "last"))
	var kept []tree.Digest
	_, err := scan.Layer(t.Context(), bytes.NewReader(Tar(t, items...)), scan.Options{
		Spool: spool, Want: func(path string, size int64) bool { return path == "wanted" || size == int64(items[5].Size) },
		Kept: func(d tree.Digest) {
			if !spool.Has(d) {
				t.Errorf("%s is told of and not there", d)
			}
			kept = append(kept, d)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		d := tree.Digest(sha256.Sum256([]byte(item.Body)))
		if want := item.Name == "wanted" || item.Size == items[5].Size; !want {
			continue
		}
		section, err := spool.Section(d)
		if err != nil {
			t.Fatal(item.Name, err)
		}
		if got, _ := io.ReadAll(section); string(got) != item.Body {
			t.Errorf("%s differs", item.Name)
		}
	}
	if spool.Has(sha256.Sum256([]byte("last"))) || len(kept) == 0 {
		t.Errorf("the spool has what nobody wanted, or told of %d", len(kept))
	}
}
