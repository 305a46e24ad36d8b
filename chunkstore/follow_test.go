package chunkstore_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// What is written to a store of files can be read at once, from the very file that becomes the content.
func TestWriterOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := storeOn(t, "filesystem", map[string]any{"rootdirectory": t.TempDir()})
	w, err := s.CreateVerified(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := w.Open()
	if err != nil || f == nil {
		t.Fatalf("%v, %v", f, err)
	}
	defer f.Close()
	var want []byte
	for _, piece := range []string{"a", "few ", string(make([]byte, 9000)), "bytes"} {
		if _, err := w.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece...)
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(want), err)
		}
	}
	d := digest.SHA512.FromBytes(want)
	if _, err := w.Commit(ctx, chunkstore.Expected{Digest: d, Size: int64(len(want))}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stored, ok := c.File()
	if !ok || !sameFile(t, stored, f) {
		t.Error("the content is another file")
	}
	if err := s.Verify(ctx, d); err != nil {
		t.Error(err)
	}
}

func sameFile(t *testing.T, a, b *os.File) bool {
	ai, err := a.Stat()
	if err != nil {
		t.Fatal(err)
	}
	bi, err := b.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(ai, bi)
}

func TestCreateVerified(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := storeOn(t, "inmemory", nil)
	for name, c := range map[string]struct {
		want chunkstore.Expected
		err  error
	}{
		"no digest":  {chunkstore.Expected{Size: 5}, chunkstore.ErrInvalid},
		"other size": {chunkstore.Expected{Digest: digest.FromString("right"), Size: 6}, chunkstore.ErrVerify},
		"right":      {chunkstore.Expected{Digest: digest.FromString("right"), Size: 5}, nil},
	} {
		w, err := s.CreateVerified(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := w.Open(); f != nil || err != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if _, err := w.Write([]byte("right")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(ctx, c.want); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func storeOn(t *testing.T, driver string, params map[string]any) *chunkstore.Store {
	t.Helper()
	s, err := chunkstore.New(openDriver(t, driver, params), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
