package upkeep

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

func numbered(n uint64) hash {
	var h hash
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
	copy(h[1:], sum[:])
	return h
}

// A set says of everything what a map would, however much of it lies on disk, and leaves no file behind.
func TestContentSet(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, 1, blockEntries - 1, blockEntries, blockEntries + 1, 3*sortAtOnce + 5} {
		dir := t.TempDir()
		sorted := newSorter(t.Context(), dir, entryCodec())
		want := map[hash]catalog.Use{}
		rnd := rand.New(rand.NewPCG(1, n))
		for i := range n {
			for range 1 + rnd.IntN(2) {
				e := entry{numbered(i), 1 << rnd.IntN(5)}
				want[e.hash] |= e.use
				if err := sorted.add(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		s, err := newContentSet(dir, sorted)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n + 100 { // some are not in it
			if got, err := s.use(numbered(i)); err != nil || got != want[numbered(i)] {
				t.Fatalf("of %d: number %d is %b, %v; want %b", n, i, got, err, want[numbered(i)])
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d: files are left: %v, %v", n, left, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Where nothing can be written, or the work ends, adding fails in the place of waiting for ever.
func TestSorterFails(t *testing.T) {
	t.Parallel()
	fill := func(ctx context.Context, dir string) error {
		sorted := newSorter(ctx, dir, entryCodec())
		defer sorted.abandon()
		for i := range uint64(8 * sortAtOnce) {
			if err := sorted.add(entry{numbered(i), 1}); err != nil {
				return err
			}
		}
		s, err := newContentSet(dir, sorted)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fill(t.Context(), filepath.Join(file, "none")); err == nil {
		t.Error("sorting into a directory that can't be")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := fill(ctx, t.TempDir()); err == nil {
		t.Error("sorting after the end")
	}
	sorted := newSorter(t.Context(), t.TempDir(), entryCodec())
	sorted.abandon()
	sorted.abandon()
}

// Hashes are in the order of digests, and of the algorithms alone that a store has.
func TestHashes(t *testing.T) {
	t.Parallel()
	var last hash
	for _, d := range []digest.Digest{
		digest.NewDigestFromEncoded(digest.SHA256, "0000000000000000000000000000000000000000000000000000000000000001"),
		digest.NewDigestFromEncoded(digest.SHA256, "ff00000000000000000000000000000000000000000000000000000000000000"),
		digest.SHA512.FromString("x"),
	} {
		h, ok := hashOf(d)
		if !ok || compareHashes(last, h) >= 0 || h.digest(h.short(d)) != d {
			t.Errorf("%s: %x, %t", d, h, ok)
		}
		last = h
	}
	for _, d := range []digest.Digest{"", "x", "sha256:", "sha256:zz", "sha384:00",
		digest.Digest("sha256:" + string(make([]byte, 64)))} {
		if h, ok := hashOf(d); ok {
			t.Errorf("%q has the hash %x", d, h)
		}
	}
}
