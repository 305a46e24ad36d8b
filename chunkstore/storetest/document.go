package storetest

import (
	"bytes"
	"errors"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// pathOf is where docs/store.md puts content.
func pathOf(d digest.Digest) string {
	return "/v1/blobs/" + d.Algorithm().String() + "/" + d.Encoded()[:2] + "/" + d.Encoded()
}

func testDocuments(t *testing.T, driver storagedriver.StorageDriver) {
	for name, cacheBytes := range map[string]int64{"cache": 0, "no cache": -1, "tiny cache": 3000} {
		s := openWith(t, driver, chunkstore.Options{CacheBytes: cacheBytes})
		for _, n := range []int{0, 10, 1000, 100_000} {
			b := randomBytes(n, 6)
			given := bytes.Clone(b)
			d, err := s.Put(t.Context(), given)
			if err != nil || d != digest.FromBytes(b) {
				t.Fatalf("%s: Put = %s, %v", name, d, err)
			}
			clear(given) // the caller's memory is the caller's
			for range 2 {
				if got, err := s.Get(t.Context(), d, int64(n)); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%s: Get of %d bytes: %v", name, n, err)
				}
			}
			if _, err := s.Get(t.Context(), d, int64(n)-1); !errors.Is(err, chunkstore.ErrTooLarge) {
				t.Errorf("%s: Get of %d bytes with a lower limit: %v, want ErrTooLarge", name, n, err)
			}
			wantContent(t, s, d, b)
		}
	}
	wantNoUploads(t, driver)
}

func testCorruption(t *testing.T, driver storagedriver.StorageDriver) {
	s := openWith(t, driver, chunkstore.Options{CacheBytes: -1})
	b := []byte(`{"schemaVersion":2}`)
	d, err := s.Put(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.PutContent(t.Context(), pathOf(d), []byte(`{"schemaVersion":1}`)); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(t.Context(), d, 100)
	for _, err := range []error{getErr, s.Verify(t.Context(), d)} {
		if !errors.Is(err, chunkstore.ErrCorrupt) {
			t.Errorf("of changed bytes: %v, want ErrCorrupt", err)
		}
	}
	// Truncated content has another size than what is written, so that writing heals it.
	if err := driver.PutContent(t.Context(), pathOf(d), b[:5]); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, store(t, s, b), b)
}

func testDigests(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	ctx := t.Context()
	hex := digest.FromString("x").Encoded()
	for _, d := range []digest.Digest{
		"", ":", "sha256", "sha256:", digest.Digest("sha256:" + hex[1:]), digest.Digest("sha256:" + hex + "0"),
		digest.Digest("SHA256:" + hex), digest.Digest("sha256:" + "ABCDEF" + hex[6:]), digest.Digest("sha512:" + hex),
		digest.SHA384.FromString("x"), digest.Digest("md5:d41d8cd98f00b204e9800998ecf8427e"),
		digest.Digest("sha256:../../../../../../../../../../../../../../../../etc/passwd/././././."),
		digest.Digest("sha256:" + hex[:62] + "/x"), digest.Digest("../sha256:" + hex),
	} {
		_, statErr := s.Stat(ctx, d)
		_, openErr := s.Open(ctx, d)
		_, getErr := s.Get(ctx, d, 10)
		for _, err := range []error{statErr, openErr, getErr, s.Delete(ctx, d), s.Verify(ctx, d)} {
			if !errors.Is(err, chunkstore.ErrInvalid) {
				t.Errorf("%q: %v, want ErrInvalid", d, err)
			}
		}
		if d == "" {
			continue
		}
		w, err := s.Create(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(ctx, chunkstore.Expected{Digest: d}); !errors.Is(err, chunkstore.ErrInvalid) {
			t.Errorf("Commit as %q: %v, want ErrInvalid", d, err)
		}
	}
	wantNoUploads(t, driver)
}

func testDeleteAndWalk(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	ctx := t.Context()
	if found := walked(t, s); len(found) > 0 {
		t.Errorf("an empty store has %v", found)
	}
	var all []digest.Digest
	for i := range 5 {
		d, err := s.Put(ctx, randomBytes(100+i, uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	for _, foreign := range []string{"/v1/blobs/lost.found", "/v1/blobs/sha256/ab/x", pathOf(all[0]) + ".tmp"} {
		if err := driver.PutContent(ctx, foreign, []byte("foreign")); err != nil {
			t.Fatal(err)
		}
	}
	sizes := map[digest.Digest]int64{}
	if err := s.Walk(ctx, func(i chunkstore.Info) error {
		sizes[i.Digest] = i.Size
		if i.ModTime.IsZero() {
			t.Errorf("%s has no time", i.Digest)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[digest.Digest]int64{all[0]: 100, all[1]: 101, all[2]: 102, all[3]: 103, all[4]: 104}
	if diff := cmp.Diff(want, sizes); diff != "" {
		t.Error(diff)
	}
	stop := errors.New("stop")
	if err := s.Walk(ctx, func(chunkstore.Info) error { return stop }); err != stop {
		t.Errorf("Walk returned %v, not its function's error", err)
	}
	for range 2 {
		if err := s.Delete(ctx, all[1]); err != nil {
			t.Errorf("Delete: %v", err)
		}
		wantNoContent(t, s, all[1])
	}
	// Deleting in a walk empties the store.
	if err := s.Walk(ctx, func(i chunkstore.Info) error { return s.Delete(ctx, i.Digest) }); err != nil {
		t.Error(err)
	}
	if found := walked(t, s); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}
