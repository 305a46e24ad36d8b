package rpmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
)

func FuzzHeader(f *testing.F) {
	f.Add(someHeader("a"))
	f.Add(buildHeader(field{tagName, "a"}, field{tagOldFileNames, []string{"/a"}}, field{tagFileDigestAlgo, []uint32{8}},
		field{tagFileDigests, []string{""}}))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, blob []byte) {
		p, ok, err := decode(blob)
		if err != nil {
			if !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if !ok {
			return
		}
		if p.Name == "" || p.Source == "" || max(len(p.Name), len(p.Source), len(p.Version)) > installed.MaxName {
			t.Errorf("package %q of source %q, version %q", p.Name, p.Source, p.Version)
		}
		if len(p.Files) > len(blob) || len(p.Changes) > installed.MaxChanges {
			t.Errorf("%d files, %d changes from %d bytes", len(p.Files), len(p.Changes), len(blob))
		}
	})
}

func FuzzNDB(f *testing.F) {
	f.Add(rpmtest.NDB(someHeader("a"), someHeader("b")))
	f.Add(rpmtest.NDB())
	f.Fuzz(func(t *testing.T, db []byte) {
		blobs, err := ndbBlobs(db)
		checkBlobs(t, db, blobs, err)
	})
}

func FuzzBDB(f *testing.F) {
	f.Add(rpmtest.BDB(binary.LittleEndian, 512, someHeader("a"), []byte("short but no counter")))
	f.Add(rpmtest.BDB(binary.BigEndian, 512, someHeader("a")))
	f.Fuzz(func(t *testing.T, db []byte) {
		blobs, err := bdbBlobs(db)
		checkBlobs(t, db, blobs, err)
	})
}

func FuzzSQLite(f *testing.F) {
	whole := manyPackages(f)
	f.Add(whole, []byte(nil))
	f.Add(whole[:1024], whole)
	main, log := loggedPackages(f)
	f.Add(main, log)
	f.Fuzz(func(t *testing.T, main, log []byte) {
		db := inMemory(main)
		db.log, db.logSize = bytes.NewReader(log), int64(len(log))
		blobs, err := blobsOf(func(take func([]byte) error) error { return readSQLite(t.Context(), db, take) })
		checkBlobs(t, append(main, log...), blobs, err)
	})
}

// checkBlobs checks what holds for every database: errors are damage, and no more comes out than went in.
func checkBlobs(t *testing.T, db []byte, blobs [][]byte, err error) {
	if err != nil && !errors.Is(err, installed.ErrDamaged) {
		t.Errorf("error of another kind: %v", err)
	}
	total := 0
	for _, b := range blobs {
		total += len(b)
	}
	if total > len(db) {
		t.Errorf("%d bytes of packages in a database of %d", total, len(db))
	}
}
