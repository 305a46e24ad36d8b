//go:build unix

package chunkstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// A store that is gone is not begun anew in its place: nothing is written, nothing counts as not found, and it goes on when
// the store is back.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, root string){
		"nothing":   func(*testing.T, string) {},
		"unmounted": func(t *testing.T, root string) { must(t, os.Mkdir(root, 0o700)) },
		"a file":    func(t *testing.T, root string) { must(t, os.WriteFile(root, []byte("x"), 0o600)) },
		"no marker": func(t *testing.T, root string) { must(t, os.MkdirAll(filepath.Join(root, "v1", "uploads"), 0o700)) },
		"another store": func(t *testing.T, root string) {
			if _, err := openStore(t, root); err != nil {
				t.Fatal(err)
			}
			must(t, os.Chtimes(filepath.Join(root, "v1", "format"), time.Time{}, time.Now().Add(-time.Hour)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "store")
			s, err := openStore(t, root)
			if err != nil {
				t.Fatal(err)
			}
			d := begun(t, s)
			open, err := s.Create(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			must(t, os.Rename(root, root+".away"))
			replace(t, root)
			before := listing(t, root)
			if _, err := open.Write([]byte("more")); err != nil {
				t.Errorf("a file that is open: %v", err)
			}
			for what, err := range operations(t, s, d, open) {
				if !errors.Is(err, chunkstore.ErrUnreachable) || errors.Is(err, chunkstore.ErrNotFound) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if after := listing(t, root); after != before {
				t.Errorf("it was changed:\n%s\nbefore:\n%s", after, before)
			}
			must(t, os.RemoveAll(root))
			must(t, os.Rename(root+".away", root))
			if b, err := s.GetRecord(t.Context(), "kind", "key"); err != nil || string(b) != "{}" {
				t.Errorf("back: %q, %v", b, err)
			}
			if err := s.PutRecord(t.Context(), "other", "key", []byte("{}")); err != nil {
				t.Errorf("back: %v", err)
			}
		})
	}
}

// A store that comes back as other files, as from a file system that was mounted anew, is used when whoever opened it says
// so.
func TestReturned(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "store")
	driver, err := chunkstore.OpenDriver(t.Context(), "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("somebody else has it")
	asked := 0
	s, err := chunkstore.New(driver, chunkstore.Options{Returned: func() error {
		if asked++; asked == 1 {
			return refused
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := begun(t, s)
	must(t, os.Rename(root, root+".away"))
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, chunkstore.ErrUnreachable) {
		t.Errorf("gone: %v", err)
	}
	marker := filepath.Join("v1", "format")
	fi, err := os.Stat(filepath.Join(root+".away", marker))
	must(t, err)
	must(t, os.CopyFS(root, os.DirFS(root+".away")))
	must(t, os.Chtimes(filepath.Join(root, marker), time.Time{}, fi.ModTime()))
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, refused) || !errors.Is(err, chunkstore.ErrUnreachable) {
		t.Errorf("refused: %v", err)
	}
	for range 2 {
		if _, err := s.Stat(t.Context(), d); err != nil {
			t.Errorf("back: %v", err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// begun puts something into a store.
func begun(t *testing.T, s *chunkstore.Store) digest.Digest {
	t.Helper()
	d, err := s.Put(t.Context(), []byte("content"))
	must(t, err)
	must(t, s.PutRecord(t.Context(), "kind", "key", []byte("{}")))
	return d
}

// operations is what comes of all that a store can be asked.
func operations(t *testing.T, s *chunkstore.Store, d digest.Digest, open *chunkstore.Writer) map[string]error {
	ctx, all := t.Context(), map[string]error{}
	missing := digest.FromString("missing")
	_, all["stat"] = s.Stat(ctx, d)
	_, all["stat of what is missing"] = s.Stat(ctx, missing)
	_, all["get of what is missing"] = s.Get(ctx, missing, 1<<20)
	_, all["open"] = s.Open(ctx, d)
	_, all["put"] = s.Put(ctx, []byte("other"))
	_, all["create"] = s.Create(ctx)
	_, all["commit"] = open.Commit(ctx, chunkstore.Expected{Size: chunkstore.AnySize})
	_, all["get record"] = s.GetRecord(ctx, "kind", "key")
	_, all["get missing record"] = s.GetRecord(ctx, "kind", "missing")
	all["put record"] = s.PutRecord(ctx, "kind", "key", []byte("[]"))
	all["delete record"] = s.DeleteRecord(ctx, "kind", "key")
	all["delete"] = s.Delete(ctx, d)
	all["verify"] = s.Verify(ctx, d)
	all["quarantine"] = s.Quarantine(ctx, d)
	all["walk"] = s.Walk(ctx, func(chunkstore.Info) error { return nil })
	all["walk records"] = s.WalkRecords(ctx, "kind", func(string, time.Time) error { return nil })
	_, all["kinds"] = s.RecordKinds(ctx)
	_, all["sweep"] = s.SweepUploads(ctx, 0)
	_, all["delete unused"] = s.DeleteUnused(ctx, d, time.Now().Add(time.Hour))
	all["check"] = s.Check(ctx)
	return all
}

// listing names all that lies below a path.
func listing(t *testing.T, root string) string {
	t.Helper()
	var all []string
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil {
			all = append(all, path)
		}
		return nil
	})
	return strings.Join(all, "\n")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
