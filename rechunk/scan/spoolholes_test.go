//go:build linux

package scan

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// onDisk is what a spool's file takes.
func onDisk(t *testing.T, s *Spool) int64 {
	t.Helper()
	info, err := s.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// put writes a content piece by piece, as a scanner does.
func put(w *spoolWriter, body []byte) (tree.Digest, error) {
	d := tree.Digest(sha256.Sum256(body))
	if err := w.start(int64(len(body))); err != nil {
		return d, err
	}
	for rest := body; len(rest) > 0; {
		n := min(len(rest), 128<<10)
		if _, err := w.Write(rest[:n]); err != nil {
			return d, err
		}
		rest = rest[n:]
	}
	w.finish(d)
	return d, nil
}

// Contents with and without zeros, new and known ones, of several layers at a time: each reads back, and no more is on disk
// than is counted.
func TestSpoolHoles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		spool, err := NewSpool(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		writers := []*spoolWriter{newSpoolWriter(spool), newSpoolWriter(spool)}
		kept := map[tree.Digest][]byte{}
		var bodies [][]byte
		for range 120 {
			var body []byte
			if len(bodies) > 0 && rng.IntN(3) == 0 {
				body = bodies[rng.IntN(len(bodies))]
			} else {
				for range rng.IntN(5) {
					part := make([]byte, rng.IntN(600<<10))
					if rng.IntN(2) == 0 {
						noise(part, rng)
					}
					body = append(body, part...)
				}
				bodies = append(bodies, body)
			}
			n := rng.IntN(len(writers))
			d, err := put(writers[n], body)
			if err != nil {
				t.Fatal(err)
			}
			kept[d] = body
			if rng.IntN(10) == 0 {
				if err := writers[n].flush(); err != nil {
					t.Fatal(err)
				}
				writers[n] = newSpoolWriter(spool)
			}
		}
		for _, w := range writers {
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
		}
		extents := int64(0)
		for d, body := range kept {
			extents++
			r, err := spool.Open(d)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("seed %d: a content of %d bytes reads back as %d others: %v", seed, len(body), len(got), err)
			}
		}
		// Every run of data may begin and end within a block.
		if disk, counted := onDisk(t, spool), spool.Size(); disk > counted+extents*6*8192 {
			t.Errorf("seed %d: %d bytes on disk, %d counted", seed, disk, counted)
		}
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func noise(b []byte, rng *rand.Rand) {
	for i := range b {
		b[i] = byte(rng.Uint32() | 1)
	}
}

// What is written and given up again counts for as long as it is on disk.
func TestSpoolCountsWhatIsGivenUp(t *testing.T) {
	t.Parallel()
	spool, err := NewSpool(t.TempDir(), workspace.New(40<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	known, larger := make([]byte, 6<<20), make([]byte, 9<<20)
	noise(known, rng)
	w := newSpoolWriter(spool)
	for n := 0; ; n++ {
		if n == 100 {
			t.Fatal("the spool is never full")
		}
		// The known content is written where the larger one then has no room.
		if _, err = put(w, known); err == nil {
			noise(larger, rng)
			_, err = put(w, larger)
		}
		if disk := onDisk(t, spool); disk > 41<<20 {
			t.Fatalf("%d bytes on disk", disk)
		}
		if err != nil {
			break
		}
	}
	if !errors.Is(err, ErrSpoolFull) || !errors.Is(err, tree.ErrLimit) {
		t.Error(err)
	}
}
