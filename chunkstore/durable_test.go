package chunkstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// watchedStore opens a store on files whose directory syncs are recorded, and fail while *fail is not nil.
func watchedStore(t *testing.T) (s *Store, synced func() []string, fail *error) {
	t.Helper()
	root := t.TempDir()
	driver, err := OpenDriver(t.Context(), "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = New(driver, Options{}); err != nil {
		t.Fatal(err)
	}
	if s.dirs == nil || s.dirs.root != root {
		t.Fatalf("directories: %+v, want root %s", s.dirs, root)
	}
	var mu sync.Mutex
	var dirs []string
	fail = new(error)
	s.dirs.sync = func(dir string) error {
		mu.Lock()
		defer mu.Unlock()
		dirs = append(dirs, strings.TrimPrefix(dir, root))
		return *fail
	}
	return s, func() []string { got := dirs; dirs = nil; return got }, fail
}

func TestDirectoriesAreSynced(t *testing.T) {
	t.Parallel()
	s, synced, _ := watchedStore(t)
	put := func(b string) func() error {
		return func() error { _, err := s.Put(t.Context(), []byte(b)); return err }
	}
	commit := func(b string) func() error {
		return func() error {
			w, err := s.Create(t.Context())
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte(b)); err != nil {
				return err
			}
			_, err = w.Commit(t.Context(), Expected{Size: AnySize})
			return err
		}
	}
	shard := func(b string) string { return "/v1/blobs/sha256/" + digest.FromString(b).Encoded()[:2] }
	for _, c := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"first content", put("a"), []string{shard("a"), "/v1/blobs/sha256", "/v1/blobs", "/v1", ""}},
		{"the same content again", put("a"), []string{shard("a")}},
		{"committed again", commit("a"), []string{shard("a")}},
		{"another shard", commit("b"), []string{shard("b"), "/v1/blobs/sha256", "/v1/blobs", "/v1", ""}},
		{"first record", func() error { return s.PutRecord(t.Context(), "tag", "k", nil) },
			[]string{"/v1/records/tag", "/v1/records", "/v1", ""}},
		{"second record", func() error { return s.PutRecord(t.Context(), "tag", "l", nil) }, []string{"/v1/records/tag"}},
		{"deleted record", func() error { return s.DeleteRecord(t.Context(), "tag", "l") }, []string{"/v1/records/tag"}},
		{"deleted content", func() error { return s.Delete(t.Context(), digest.FromString("a")) }, nil},
	} {
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if diff := cmp.Diff(c.want, synced()); diff != "" {
			t.Errorf("%s:\n%s", c.what, diff)
		}
	}
}

// A write whose directory cannot be synced is not acknowledged, and neither is one that finds the content already there.
func TestFailedSyncIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	s, synced, fail := watchedStore(t)
	*fail = &os.PathError{Op: "sync", Path: "dir", Err: syscall.EIO}
	for range 2 {
		if _, err := s.Put(t.Context(), []byte("a")); !errors.Is(err, syscall.EIO) {
			t.Errorf("Put: %v, want EIO", err)
		}
	}
	if err := s.PutRecord(t.Context(), "tag", "k", nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("PutRecord: %v, want EIO", err)
	}
	*fail = nil
	synced()
	if _, err := s.Put(t.Context(), []byte("a")); err != nil || len(synced()) != 5 {
		t.Errorf("Put after failures: %v; it must sync all directories again", err)
	}
}

func TestContentIsAFile(t *testing.T) {
	t.Parallel()
	s, _, _ := watchedStore(t)
	d, err := s.Put(t.Context(), []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, ok := c.File()
	if want := filepath.Join(s.dirs.root, filepath.FromSlash(blobPath(d))); !ok || f.Name() != want {
		t.Errorf("File = %v, %t; want %s", f, ok, want)
	}
	if err := os.MkdirAll(filepath.Join(s.dirs.root, blobPath(digest.FromString("dir"))), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), digest.FromString("dir")); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of a directory: %v, want ErrNotFound", err)
	}
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	if err := syncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := syncDir(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a missing directory: %v", err)
	}
}
