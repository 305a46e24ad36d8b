package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		"a", "A", "a/b", "a/B", "a:b", "a_b", "a__b", "a__key", "a_2fb", "a%2fb", "a\\b", "a b", "a.", ".a", ".", "..",
		"../..", "/", "//",
		"-", "~", "con", "nul.txt", "key", "__key", "_", "_5f", "\x00", "\xff\xfe", "Ä", "a\u0308", "日本", "\n", "a\n", "z",
		"{}",
		"ghcr.io/ublue-os/bluefin:stable", "ghcr.io/ublue-os/bluefin:stable-daily", "ghcr.io/ublue-os/bluefin",
		"ghcr.io/ublue-os/bluefin@sha256:" + strings.Repeat("0123456789abcdef", 4),
		long + ":a", long + ":A", long + ":b", long, strings.Repeat("x", 135), strings.Repeat("x", 136),
		strings.Repeat("_", 45),
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
	return listedRecords(t, s, kind, "")
}

func listedRecords(t *testing.T, s *chunkstore.Store, kind, prefix string) []string {
	t.Helper()
	keys := []string{}
	walk := s.WalkRecords
	if prefix != "" {
		walk = func(ctx context.Context, kind string, fn func(string, time.Time) error) error {
			return s.WalkRecordsPrefix(ctx, kind, prefix, fn)
		}
	}
	err := walk(t.Context(), kind, func(key string, modified time.Time) error {
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

// testListing lists by the beginnings of keys. Other keys must not be seen, and none missed, whatever names they have.
func testListing(t *testing.T, driver storagedriver.StorageDriver) {
	s := openStore(t, driver)
	if keys := listedRecords(t, s, "awkward", "a"); len(keys) > 0 {
		t.Errorf("an empty store lists %q", keys)
	}
	keys := Keys()
	for _, key := range keys {
		putRecord(t, s, "awkward", key, key)
		putRecord(t, s, "awkward-too", "a"+key[:min(len(key), 100)], "another kind")
	}
	slices.Sort(keys)
	prefixes := map[string]bool{"": true, "none": true, "zz": true, "\x00\x00": true, "...": true,
		strings.Repeat("k", 71): true}
	for _, key := range keys {
		for _, n := range []int{1, 2, len(key) / 2, 66, 67, 68, 69, 70, 71, 135, len(key) - 1, len(key)} {
			prefixes[key[:max(min(n, len(key)), 0)]] = true
		}
	}
	for prefix := range prefixes {
		want := []string{}
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if diff := cmp.Diff(want, listedRecords(t, s, "awkward", prefix)); diff != "" {
			t.Errorf("prefix %.80q: %s", prefix, diff)
		}
	}
	stop := errors.New("stop")
	if err := s.WalkRecordsPrefix(t.Context(), "awkward", "a", func(string, time.Time) error { return stop }); err != stop {
		t.Errorf("WalkRecordsPrefix returned %v, not its function's error", err)
	}
	if err := s.WalkRecordsPrefix(t.Context(), "..", "a", nil); !errors.Is(err, chunkstore.ErrInvalid) {
		t.Errorf("WalkRecordsPrefix: %v, want ErrInvalid", err)
	}
}

// testShortListing checks that a listing asks the backend about the records that it is for, and not about the rest.
func testShortListing(t *testing.T, driver storagedriver.StorageDriver) {
	counted := &looks{StorageDriver: driver}
	s := openStore(t, counted)
	const repositories, tags = 30, 10
	for i := range repositories {
		for j := range tags {
			putRecord(t, s, "tag", fmt.Sprintf("ghcr.io/team/image-%d:%d", i, j), "{}")
		}
	}
	counted.seen.Store(0)
	if keys := listedRecords(t, s, "tag", "ghcr.io/team/image-7:"); len(keys) != tags {
		t.Errorf("%d tags, want %d: %q", len(keys), tags, keys)
	}
	// The first one behind the range ends it.
	if n := counted.seen.Load(); n > tags+1 {
		t.Errorf("%d of %d records were looked at to list %d", n, repositories*tags, tags)
	}
}

// looks counts the objects that a driver tells of in its walks.
type looks struct {
	storagedriver.StorageDriver
	seen atomic.Int64
}

func (l *looks) Walk(ctx context.Context, from string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	return l.StorageDriver.Walk(ctx, from, func(fi storagedriver.FileInfo) error {
		l.seen.Add(1)
		return fn(fi)
	}, options...)
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
	if err := s.PutRecord(ctx, "tag", "k", make([]byte, chunkstore.MaxRecordBytes+1)); !errors.Is(err,
		chunkstore.ErrTooLarge) {
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
