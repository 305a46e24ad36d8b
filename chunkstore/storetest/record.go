package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/chunkstore"
)

// Keys returns record keys that are awkward in file and object names; no two are equal.
func Keys() []string {
	long := "registry.example.com:5000/" + strings.Repeat("team/", 100) + "image"
	return []string{
		"a", "A", "a/b", "a/B", "a:b", "a_b", "a__b", "a__key", "a_2fb", "a%2fb", "a\\b", "a b", "a.", ".a", ".", "..", "../..", "/", "//",
		"-", "~", "con", "nul.txt", "key", "__key", "_", "_5f", "\x00", "\xff\xfe", "Ä", "a\u0308", "日本", "\n", "a\n", "z", "{}",
		"ghcr.io/ublue-os/bluefin:stable", "ghcr.io/ublue-os/bluefin:stable-daily", "ghcr.io/ublue-os/bluefin",
		"ghcr.io/ublue-os/bluefin@sha256:" + strings.Repeat("0123456789abcdef", 4),
		long + ":a", long + ":A", long + ":b", long, strings.Repeat("x", 135), strings.Repeat("x", 136), strings.Repeat("_", 45),
		strings.Repeat("_", 46), strings.Repeat("\xff", chunkstore.MaxKeyBytes), strings.Repeat("k", chunkstore.MaxKeyBytes),
		strings.Repeat("k", 68) + "//" + strings.Repeat("k", 100), strings.Repeat("k", 69) + "/" + strings.Repeat("k", 100),
	}
}

func wantRecord(t *testing.T, s *chunkstore.Store, kind, key, want string) {
	t.Helper()
	got, err := s.GetRecord(t.Context(), kind, key)
	if err != nil || string(got) != want {
		t.Errorf("record %s %.60q = %q, %v; want %q", kind, key, got, err, want)
	}
}

func wantNoRecord(t *testing.T, s *chunkstore.Store, kind, key string) {
	t.Helper()
	if got, err := s.GetRecord(t.Context(), kind, key); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Errorf("record %s %.60q = %q, %v; want ErrNotFound", kind, key, got, err)
	}
}

func putRecord(t *testing.T, s *chunkstore.Store, kind, key, value string) {
	t.Helper()
	if err := s.PutRecord(t.Context(), kind, key, []byte(value)); err != nil {
		t.Fatalf("put record %s %.60q: %v", kind, key, err)
	}
}

func walkedRecords(t *testing.T, s *chunkstore.Store, kind string) []string {
	t.Helper()
	keys := []string{}
	err := s.WalkRecords(t.Context(), kind, func(key string, modified time.Time) error {
		keys = append(keys, key)
		if modified.IsZero() {
			t.Errorf("record %.60q has no time", key)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("WalkRecords: %v", err)
	}
	return keys
}

func testRecords(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	const key = "ghcr.io/ublue-os/bluefin:stable"
	wantNoRecord(t, s, "tag", key)
	if keys := walkedRecords(t, s, "tag"); len(keys) > 0 {
		t.Errorf("an empty store has %q", keys)
	}
	for _, v := range []string{`{"v":1}`, `{"v":2,"longer":true}`, ``, `{"v":3}`} {
		putRecord(t, s, "tag", key, v)
		wantRecord(t, s, "tag", key, v)
	}
	putRecord(t, s, "lineage", key, "other kind")
	wantRecord(t, openStore(t, driver), "tag", key, `{"v":3}`)
	stop := errors.New("stop")
	if err := s.WalkRecords(t.Context(), "tag", func(string, time.Time) error { return stop }); err != stop {
		t.Errorf("WalkRecords returned %v, not its function's error", err)
	}
	for range 2 {
		if err := s.DeleteRecord(t.Context(), "tag", key); err != nil {
			t.Errorf("DeleteRecord: %v", err)
		}
		wantNoRecord(t, s, "tag", key)
	}
	wantRecord(t, s, "lineage", key, "other kind")
	wantNoUploads(t, driver)
}

func testKeys(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	keys := Keys()
	for i, key := range keys {
		putRecord(t, s, "awkward", key, fmt.Sprint(i))
	}
	if err := driver.PutContent(t.Context(), "/v1/records/awkward/foreign.tmp", []byte("foreign")); err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		wantRecord(t, s, "awkward", key, fmt.Sprint(i))
	}
	slices.Sort(keys)
	if diff := cmp.Diff(keys, walkedRecords(t, s, "awkward")); diff != "" {
		t.Error(diff)
	}
	// Deleting in a walk empties the kind.
	ctx := t.Context()
	err := s.WalkRecords(ctx, "awkward", func(key string, _ time.Time) error { return s.DeleteRecord(ctx, "awkward", key) })
	if left := walkedRecords(t, s, "awkward"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

// testPrefixes guards against drivers that look objects up by prefix.
func testPrefixes(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	for _, key := range []string{"app-old", "app/x", "apple"} {
		putRecord(t, s, "tag", key, key)
	}
	putRecord(t, s, "tags", "app", "another kind")
	wantNoRecord(t, s, "tag", "app")
	if err := s.DeleteRecord(t.Context(), "tag", "app"); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"app-old", "app/x", "apple"} {
		wantRecord(t, s, "tag", key, key)
	}
	if diff := cmp.Diff([]string{"app-old", "app/x", "apple"}, walkedRecords(t, s, "tag")); diff != "" {
		t.Error(diff)
	}
}

func testInvalidRecords(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	ctx := t.Context()
	for _, c := range []struct{ kind, key string }{
		{"", "k"}, {"Tag", "k"}, {"1", "k"}, {"..", "k"}, {"a/b", "k"}, {"a.b", "k"}, {strings.Repeat("k", 33), "k"},
		{"tag", ""}, {"tag", strings.Repeat("k", chunkstore.MaxKeyBytes+1)},
	} {
		_, getErr := s.GetRecord(ctx, c.kind, c.key)
		for _, err := range []error{getErr, s.PutRecord(ctx, c.kind, c.key, nil), s.DeleteRecord(ctx, c.kind, c.key)} {
			if !errors.Is(err, chunkstore.ErrInvalid) {
				t.Errorf("%.60q %.60q: %v, want ErrInvalid", c.kind, c.key, err)
			}
		}
	}
	if err := s.WalkRecords(ctx, "..", nil); !errors.Is(err, chunkstore.ErrInvalid) {
		t.Errorf("WalkRecords: %v, want ErrInvalid", err)
	}
	if err := s.PutRecord(ctx, "tag", "k", make([]byte, chunkstore.MaxRecordBytes+1)); !errors.Is(err, chunkstore.ErrTooLarge) {
		t.Errorf("a large record: %v, want ErrTooLarge", err)
	}
	wantNoRecord(t, s, "tag", "k")
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func testRecordTTL(t *testing.T, driver storagedriver.StorageDriver) {
	time0 := &clock{now: time.Unix(1_000_000, 0)}
	ours := openWith(t, driver, chunkstore.Options{RecordTTL: time.Minute, Now: time0.Now})
	theirs := openStore(t, driver)
	putRecord(t, ours, "tag", "k", "1")
	wantRecord(t, ours, "tag", "k", "1")
	putRecord(t, theirs, "tag", "k", "2")
	wantRecord(t, theirs, "tag", "k", "2")
	wantRecord(t, ours, "tag", "k", "1")
	time0.advance(time.Minute)
	wantRecord(t, ours, "tag", "k", "2")
	putRecord(t, ours, "tag", "k", "3") // own changes show at once
	wantRecord(t, ours, "tag", "k", "3")
	wantRecord(t, theirs, "tag", "k", "3")
	if err := ours.DeleteRecord(t.Context(), "tag", "k"); err != nil {
		t.Fatal(err)
	}
	wantNoRecord(t, ours, "tag", "k")
	wantNoRecord(t, theirs, "tag", "k")
}

// testSameRecord checks that readers never see half a record, nor an older one than they have written.
func testSameRecord(t *testing.T, driver storagedriver.StorageDriver) {
	s := openWith(t, driver, chunkstore.Options{RecordTTL: time.Hour})
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("<%d>", i), 1000+i) }
	valid := map[string]bool{}
	for i := range 10 {
		valid[value(i)] = true
	}
	putRecord(t, s, "tag", "k", value(0))
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if err := s.PutRecord(t.Context(), "tag", "k", []byte(value(i))); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
		all.Go(func() {
			got, err := s.GetRecord(t.Context(), "tag", "k")
			if err != nil || !valid[string(got)] {
				t.Errorf("reader %d: %d bytes that nobody wrote, %v", i, len(got), err)
			}
		})
	}
	all.Wait()
	putRecord(t, s, "tag", "k", "last")
	wantRecord(t, s, "tag", "k", "last")
}
