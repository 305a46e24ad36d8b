//go:build unix

package chunkstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/private"
)

// openStore opens a store in a directory.
func openStore(t *testing.T, root string) (*chunkstore.Store, error) {
	t.Helper()
	driver, err := chunkstore.OpenDriver(t.Context(), "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		return nil, err
	}
	return chunkstore.New(driver, chunkstore.Options{})
}

// What a store keeps is its user's alone, whatever the umask. The test changes that, so it is not parallel.
func TestFilesArePrivate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "data")
	defer syscall.Umask(syscall.Umask(0))
	s, err := openStore(t, root)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), chunkstore.Expected{Digest: digest.FromString("content"),
		Size: chunkstore.AnySize}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutRecord(t.Context(), "kind", "key", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context()); err != nil { // and what is left behind
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: private.DirMode,
			false: private.FileMode}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s: %v", strings.TrimPrefix(path, root), info.Mode())
		}
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 4 {
		t.Errorf("%d files, %v", files, err)
	}
}

// A store of before, with its modes, opens and is closed to others; one that leads elsewhere does not open.
func TestStoreOfBefore(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, err := openStore(t, root); err != nil {
		t.Fatal(err)
	}
	v1 := filepath.Join(root, "v1")
	if err := os.Chmod(v1, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t, root); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(v1); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(v1, "uploads")),
		os.Symlink(t.TempDir(), filepath.Join(v1, "uploads"))); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t, root); !errors.Is(err, private.ErrExposed) {
		t.Errorf("uploads lie elsewhere: %v", err)
	}
}
