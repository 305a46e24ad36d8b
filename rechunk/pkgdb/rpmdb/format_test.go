package rpmdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

// blobsOf collects copies of what a reader hands over.
func blobsOf(read func(take func([]byte) error) error) ([][]byte, error) {
	var blobs [][]byte
	err := read(func(b []byte) error {
		blobs = append(blobs, bytes.Clone(b))
		return nil
	})
	return blobs, err
}

func ndbBlobs(db []byte) ([][]byte, error) {
	return blobsOf(func(take func([]byte) error) error { return readNDB(context.Background(), inMemory(db), take) })
}

func bdbBlobs(db []byte) ([][]byte, error) {
	return blobsOf(func(take func([]byte) error) error { return readBDB(context.Background(), inMemory(db), take) })
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := [][]byte{someHeader("a"), bytes.Repeat(someHeader("b"), 7), bytes.Repeat([]byte("0123456789abcdef"), 32)}
	for name, got := range map[string]func() ([][]byte, error){
		"ndb":            func() ([][]byte, error) { return ndbBlobs(rpmtest.NDB(want...)) },
		"bdb":            func() ([][]byte, error) { return bdbBlobs(rpmtest.BDB(binary.LittleEndian, 512, want...)) },
		"bdb big-endian": func() ([][]byte, error) { return bdbBlobs(rpmtest.BDB(binary.BigEndian, 4096, want...)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobs, err := got()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, blobs); diff != "" {
				t.Errorf("blobs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEveryCutIsDamage cuts databases at every length: either all packages before the cut come out and it is an error, or
// nothing was missing.
func TestEveryCutIsDamage(t *testing.T) {
	t.Parallel()
	blobs := [][]byte{someHeader("a"), bytes.Repeat(someHeader("b"), 7)}
	for name, f := range map[string]struct {
		db   []byte
		read func([]byte) ([][]byte, error)
	}{
		"ndb": {rpmtest.NDB(blobs...), ndbBlobs},
		"bdb": {rpmtest.BDB(binary.LittleEndian, 512, blobs...), bdbBlobs},
	} {
		for n := range len(f.db) {
			if _, err := f.read(f.db[:n]); !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(f.db), err)
			}
		}
	}
}

// TestCyclesEnd builds databases whose records lead in circles.
func TestCyclesEnd(t *testing.T) {
	t.Parallel()
	db := rpmtest.BDB(binary.LittleEndian, 512, bytes.Repeat(someHeader("b"), 7))
	binary.LittleEndian.PutUint32(db[3*512+16:], 2)               // the second overflow page leads back to the first
	binary.LittleEndian.PutUint32(db[512+512-5-5-5-12+8:], 1<<24) // of an item that claims to be long
	if _, err := bdbBlobs(db); !errors.Is(err, installed.ErrDamaged) {
		t.Errorf("bdb cycle: %v", err)
	}

	blob := someHeader("a")
	ndb := rpmtest.NDB(blob)
	for i := 3; i < ndbPage/ndbSlot; i++ { // every slot points at the one package
		copy(ndb[i*ndbSlot:], ndb[2*ndbSlot:3*ndbSlot])
	}
	blobs, err := ndbBlobs(ndb)
	if !errors.Is(err, installed.ErrDamaged) || len(blobs)*len(blob) > len(ndb) {
		t.Errorf("ndb: %d copies of one package, %v", len(blobs), err)
	}
}
