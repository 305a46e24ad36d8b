package storetest

import (
	"errors"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore"
)

func testSweep(t *testing.T, driver storagedriver.StorageDriver) {
	// The backend's clock gives the times of uploads, so ours moves.
	now := &clock{now: time.Now()}
	s := openWith(t, driver, chunkstore.Options{Now: now.Now})
	ctx := t.Context()
	if n, err := s.SweepUploads(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("SweepUploads of nothing = %d, %v", n, err)
	}
	for _, leftover := range []string{"/v1/uploads/0123456789abcdef0123456789abcdef", "/v1/uploads/x.tmp"} {
		if err := driver.PutContent(ctx, leftover, []byte("half writ")); err != nil {
			t.Fatal(err)
		}
	}
	w, err := s.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("still being written")); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepUploads(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("SweepUploads of recent ones = %d, %v", n, err)
	}
	now.advance(2 * time.Hour)
	if n, err := s.SweepUploads(ctx, time.Hour); n != 2 || err != nil {
		t.Errorf("SweepUploads = %d, %v; want 2", n, err)
	}
	if _, err := w.Commit(ctx, chunkstore.Expected{Size: chunkstore.AnySize}); err != nil {
		t.Errorf("commit of an upload that was in use: %v", err)
	}
	wantNoUploads(t, driver)
}

func testFormat(t *testing.T, driver storagedriver.StorageDriver) {
	ctx := t.Context()
	open := func() error {
		_, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{})
		return err
	}
	if err := driver.PutContent(ctx, "/v1/something", []byte("else")); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, chunkstore.ErrFormat) {
		t.Errorf("a backend with other data: %v, want ErrFormat", err)
	}
	if err := driver.Delete(ctx, "/v1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := driver.GetContent(ctx, "/v1/format")
	if want := `{"format":"strata-store","version":1}` + "\n"; string(got) != want || err != nil {
		t.Errorf("the marker is %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{
		"", "{}", "null", "[]", "garbage", `{"format":"strata-store","version":2}`, `{"format":"restic","version":1}`,
	} {
		if err := driver.PutContent(ctx, "/v1/format", []byte(bad)); err != nil {
			t.Fatal(err)
		}
		if err := open(); !errors.Is(err, chunkstore.ErrFormat) {
			t.Errorf("marker %q: %v, want ErrFormat", bad, err)
		}
	}
	if err := driver.PutContent(ctx, "/v1/format", make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, chunkstore.ErrTooLarge) {
		t.Errorf("a large marker: %v, want ErrTooLarge", err)
	}
}

func testCheck(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	for range 2 {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
	wantNoUploads(t, driver)
	if err := driver.Delete(t.Context(), "/v1/format"); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("Check of a store that is gone: %v, want ErrNotFound", err)
	}
}
