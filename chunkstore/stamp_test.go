package chunkstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"github.com/strata-oci/strata/chunkstore"
)

// A stamp holds while nothing changes, and never longer.
func TestRecordsStamp(t *testing.T) {
	t.Parallel()
	root, now := t.TempDir(), time.Now()
	files := func() *chunkstore.Store {
		driver, err := chunkstore.OpenDriver(t.Context(), "filesystem", map[string]any{"rootdirectory": root})
		if err != nil {
			t.Fatal(err)
		}
		s, err := chunkstore.New(driver, chunkstore.Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	mine := files()
	stamp := func(s *chunkstore.Store) chunkstore.RecordsStamp {
		t.Helper()
		out, err := s.StampRecords(t.Context(), "tag")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if (chunkstore.RecordsStamp{}).Holds(stamp(mine)) {
		t.Error("there is none and it holds")
	}
	age := func() { // as if it were long ago
		t.Helper()
		old := now.Add(-time.Hour)
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, old, old))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	changes := map[string]func(s *chunkstore.Store) error{
		"put":        func(s *chunkstore.Store) error { return s.PutRecord(t.Context(), "tag", "a", []byte("1")) },
		"put anew":   func(s *chunkstore.Store) error { return s.PutRecord(t.Context(), "tag", "a", []byte("2")) },
		"quarantine": func(s *chunkstore.Store) error { return s.QuarantineRecord(t.Context(), "tag", "a") },
		"put again":  func(s *chunkstore.Store) error { return s.PutRecord(t.Context(), "tag", "a", []byte("1")) },
		"remove": func(s *chunkstore.Store) error {
			_, err := s.DeleteRecordUnused(t.Context(), "tag", "a", now.Add(time.Hour))
			return err
		},
		"put once more": func(s *chunkstore.Store) error { return s.PutRecord(t.Context(), "tag", "a", []byte("1")) },
		"delete":        func(s *chunkstore.Store) error { return s.DeleteRecord(t.Context(), "tag", "a") },
	}
	order := []string{"put", "put anew", "quarantine", "put again", "remove", "put once more", "delete"}
	for who, other := range map[string]*chunkstore.Store{"this process": mine, "another one": files()} {
		for _, name := range order {
			if err := mine.PutRecord(t.Context(), "tag", "other", nil); err != nil {
				t.Fatal(err)
			}
			age()
			before := stamp(mine)
			if now = now.Add(time.Hour); !before.Holds(stamp(mine)) {
				t.Errorf("%s of %s: it does not hold though nothing changed", name, who)
			}
			if err := changes[name](other); err != nil {
				t.Fatal(err)
			}
			if before.Holds(stamp(mine)) {
				t.Errorf("%s of %s: it holds", name, who)
			}
		}
	}
	// What changed just now may change again unseen.
	if err := mine.PutRecord(t.Context(), "tag", "a", nil); err != nil {
		t.Fatal(err)
	}
	now = time.Now()
	before := stamp(mine)
	if !before.Holds(stamp(mine)) {
		t.Error("it does not hold at once")
	}
	if now = now.Add(2 * time.Second); before.Holds(stamp(mine)) {
		t.Error("it holds for a directory that had changed just before")
	}
}

// Where a backend does not tell, others' changes are seen after a while.
func TestRecordsStampOfObjects(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, err := chunkstore.New(inmemory.New(), chunkstore.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.StampRecords(t.Context(), "tag")
	now = now.Add(time.Second)
	if after, err := s.StampRecords(t.Context(), "tag"); err != nil || !before.Holds(after) {
		t.Errorf("it does not hold: %v", err)
	}
	now = now.Add(time.Second)
	if after, err := s.StampRecords(t.Context(), "tag"); err != nil || before.Holds(after) {
		t.Errorf("it holds: %v", err)
	}
	before, _ = s.StampRecords(t.Context(), "tag")
	if err := s.PutRecord(t.Context(), "tag", "a", nil); err != nil {
		t.Fatal(err)
	}
	if after, err := s.StampRecords(t.Context(), "tag"); err != nil || before.Holds(after) {
		t.Errorf("it holds after a change: %v", err)
	}
}
