package seed

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/delta"
)

// A delta makes its applier open files again and again: each is read once to see whether it is right, until it changes.
func TestReadOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write := func(text string) delta.File {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return delta.File{Path: "file", Size: int64(len(text)), Digest: sha256.Sum256([]byte(text))}
	}
	want := write("some text")
	root := NewRoot(dir)
	files, err := root.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for range 3 {
		c, err := files.Open(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := files.(*rootFiles).read.Load(); n != want.Size {
		t.Errorf("%d bytes were read of a file of %d", n, want.Size)
	}
	time.Sleep(20 * time.Millisecond) // file systems' clocks are coarse
	write("other txt")
	if _, err := files.Open(t.Context(), want); !errors.Is(err, delta.ErrSource) {
		t.Errorf("a file that changed: %v", err)
	}
}

// What is read for one layer is bounded, as files may be as large as a disk.
func TestReadBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), mostChecked+1); err != nil {
			t.Skip(err) // not every file system has files as large as that
		}
	}
	files, err := NewRoot(dir).Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if _, err := files.Open(t.Context(), delta.File{Path: "a", Size: mostChecked + 1}); !errors.Is(err, delta.ErrLimit) {
		t.Error(err)
	}
}
