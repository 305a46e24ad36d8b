package storetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// randomBytes returns n reproducible bytes.
func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// store writes content through a Writer, in pieces.
func store(t *testing.T, s *chunkstore.Store, b []byte) digest.Digest {
	t.Helper()
	d, err := tryStore(t, s, b)
	if err != nil {
		t.Fatalf("store %d bytes: %v", len(b), err)
	}
	return d
}

func tryStore(t *testing.T, s *chunkstore.Store, b []byte) (digest.Digest, error) {
	ctx := t.Context()
	w, err := s.Create(ctx)
	if err != nil {
		return "", err
	}
	defer w.Cancel(ctx)
	if _, err := io.CopyBuffer(w, bytes.NewReader(b), make([]byte, 10_000)); err != nil {
		return "", err
	}
	desc, err := w.Commit(ctx, chunkstore.Expected{Digest: digest.FromBytes(b), Size: int64(len(b))})
	return desc.Digest, err
}

// wantContent checks that stored content has just these bytes.
func wantContent(t *testing.T, s *chunkstore.Store, d digest.Digest, want []byte) {
	t.Helper()
	if n, err := s.Stat(t.Context(), d); err != nil || n != int64(len(want)) {
		t.Errorf("Stat = %d, %v; want %d", n, err, len(want))
	}
	c, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) || c.Size() != int64(len(want)) {
		t.Errorf("read %d bytes of %d (Size %d): %v; equal: %t", len(got), len(want), c.Size(), err, bytes.Equal(got, want))
	}
	if err := s.Verify(t.Context(), d); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// wantNoContent checks that content is not there in any way of asking.
func wantNoContent(t *testing.T, s *chunkstore.Store, d digest.Digest) {
	t.Helper()
	_, statErr := s.Stat(t.Context(), d)
	_, openErr := s.Open(t.Context(), d)
	_, getErr := s.Get(t.Context(), d, 1<<20)
	for _, err := range []error{statErr, openErr, getErr, s.Verify(t.Context(), d)} {
		if !errors.Is(err, chunkstore.ErrNotFound) {
			t.Errorf("error %v, want ErrNotFound", err)
		}
	}
}

// walked lists all stored content in ascending order.
func walked(t *testing.T, s *chunkstore.Store) []digest.Digest {
	t.Helper()
	found := []digest.Digest{}
	err := s.Walk(t.Context(), func(i chunkstore.Info) error {
		found = append(found, i.Digest)
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	slices.Sort(found)
	return found
}

// wantNoUploads checks that nothing half written is left.
func wantNoUploads(t *testing.T, driver storagedriver.StorageDriver) {
	t.Helper()
	left, err := driver.List(t.Context(), "/v1/uploads")
	if missing := (storagedriver.PathNotFoundError{}); err != nil && !errors.As(err, &missing) {
		t.Fatalf("list uploads: %v", err)
	}
	if len(left) > 0 {
		t.Errorf("uploads left behind: %v", left)
	}
}

func testContent(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	wantNoContent(t, s, digest.FromString("absent"))
	for _, n := range []int{0, 1, 4096, 100_001, 1 << 20} {
		b := randomBytes(n, uint64(n))
		wantContent(t, s, store(t, s, b), b)
	}
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "whatever comes"); err != nil {
		t.Fatal(err)
	}
	got, err := w.Commit(t.Context(), chunkstore.Expected{Size: chunkstore.AnySize})
	want := chunkstore.Descriptor{Digest: digest.FromString("whatever comes"), Size: 14}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Commit without expectations: %v\n%s", err, diff)
	}
	wantNoUploads(t, driver)
	wantContent(t, openStore(t, driver), want.Digest, []byte("whatever comes"))
}

func testRanges(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	b := randomBytes(600_000, 1)
	c, err := s.Open(t.Context(), store(t, s, b))
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 1000)
	for _, off := range []int64{599_500, 0, 300_000, 301_500, 599_999, 600_000, 700_000, 10} {
		if _, err := c.Seek(off, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		want := b[min(off, 600_000):min(off+1000, 600_000)]
		n, err := io.ReadFull(c, part)
		if !bytes.Equal(part[:n], want) {
			t.Errorf("at %d: read %d bytes: %v; want %d others", off, n, err, len(want))
		}
	}
	if _, err := c.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek before the start: no error")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(part); err == nil {
		t.Error("Read after Close: no error")
	}

	small := randomBytes(500, 2)
	c, err = s.Open(t.Context(), store(t, s, small))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := iotest.TestReader(c, small); err != nil {
		t.Error(err)
	}
}

func testMismatch(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	b := []byte("what came")
	right := digest.FromBytes(b)
	for _, want := range []chunkstore.Expected{
		{Digest: digest.FromString("something else"), Size: chunkstore.AnySize},
		{Digest: right, Size: 8},
		{Digest: right, Size: 0},
		{Digest: digest.SHA512.FromString("something else"), Size: 9},
	} {
		w, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(t.Context(), want); !errors.Is(err, chunkstore.ErrVerify) {
			t.Errorf("Commit(%v) = %v, want ErrVerify", want, err)
		}
		if _, err := w.Write(b); err == nil {
			t.Error("Write after a failed Commit: no error")
		}
	}
	if found := walked(t, s); len(found) > 0 {
		t.Errorf("visible: %v", found)
	}
	wantNoUploads(t, driver)
}

func testSameContent(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	b := randomBytes(50_000, 3)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = tryStore(t, s, b)
			} else {
				_, err = s.Put(t.Context(), b)
			}
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	wantContent(t, s, digest.FromBytes(b), b)
	if diff := cmp.Diff([]digest.Digest{digest.FromBytes(b)}, walked(t, s)); diff != "" {
		t.Error(diff)
	}
	wantNoUploads(t, driver)
}

func testCancel(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(randomBytes(10_000, 4)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Cancel(t.Context()); err != nil {
			t.Errorf("Cancel: %v", err)
		}
	}
	if _, err := w.Commit(t.Context(), chunkstore.Expected{Size: chunkstore.AnySize}); err == nil {
		t.Error("Commit after Cancel: no error")
	}
	if found := walked(t, s); len(found) > 0 {
		t.Errorf("visible: %v", found)
	}
	wantNoUploads(t, driver)
}

func testSHA512(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	b := randomBytes(30_000, 5)
	d := digest.SHA512.FromBytes(b)
	for range 2 {
		w, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Commit(t.Context(), chunkstore.Expected{Digest: d, Size: 30_000}); err != nil || got.Digest != d {
			t.Fatalf("Commit = %v, %v", got, err)
		}
	}
	wantContent(t, s, d, b)
	if got, err := s.Get(t.Context(), d, 30_000); err != nil || !bytes.Equal(got, b) {
		t.Errorf("Get: %v", err)
	}
	wantNoContent(t, s, digest.FromBytes(b))
	wantNoUploads(t, driver)
}
