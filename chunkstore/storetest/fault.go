package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// absent stands for a record that does not exist.
const absent = "(absent)"

// history is what a client knows of a store it has used: what was acknowledged must be there, what failed may be.
type history struct {
	content map[digest.Digest]bool // true: acknowledged and not deleted since
	records map[string][]string    // by key: the acknowledged value, then those that may have replaced it
	err     error                  // the first failure
}

func (h *history) failed(err error) bool {
	if err != nil && h.err == nil {
		h.err = err
	}
	return err != nil
}

func (h *history) stored(d digest.Digest, err error) {
	h.content[d] = !h.failed(err) || h.content[d]
}

func (h *history) deleted(d digest.Digest, err error) {
	h.failed(err)
	h.content[d] = false
}

func (h *history) recorded(key, value string, err error) {
	if h.records[key] == nil {
		h.records[key] = []string{absent}
	}
	if h.failed(err) {
		h.records[key] = append(h.records[key], value)
		return
	}
	h.records[key] = []string{value}
}

// script uses a store in all ways that write, and goes on after failures.
func script(t *testing.T, driver storagedriver.StorageDriver) *history {
	h := &history{content: map[digest.Digest]bool{}, records: map[string][]string{}}
	ctx := t.Context()
	s, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{RecordTTL: time.Hour})
	if h.failed(err) {
		return h
	}
	large, small, other := randomBytes(25_000, 7), randomBytes(300, 8), randomBytes(9000, 9)
	long := strings.Repeat("long/", 60)
	record := func(key, value string) { h.recorded(key, value, s.PutRecord(ctx, "tag", key, []byte(value))) }
	content := func(b []byte) { _, err := tryStore(t, s, b); h.stored(digest.FromBytes(b), err) }

	content(large)
	_, err = s.Put(ctx, small)
	h.stored(digest.FromBytes(small), err)
	record("k", "1")
	record(long, "1")
	content(large)
	record("k", "2")
	h.recorded(long, absent, s.DeleteRecord(ctx, "tag", long))
	h.deleted(digest.FromBytes(small), s.Delete(ctx, digest.FromBytes(small)))
	h.stored(digest.SHA512.FromBytes(other), storeSHA512(t, s, other))
	_, err = s.Put(ctx, small)
	h.stored(digest.FromBytes(small), err)
	record(long, "2")
	if got, err := s.GetRecord(ctx, "tag", "k"); !h.failed(err) && !slices.Contains(h.records["k"], string(got)) {
		t.Errorf("record k is %q, want one of %q", got, h.records["k"])
	}
	_, err = s.SweepUploads(ctx, 0)
	h.failed(err)
	h.failed(s.Check(ctx))
	return h
}

func storeSHA512(t *testing.T, s *chunkstore.Store, b []byte) error {
	w, err := s.Create(t.Context())
	if err != nil {
		return err
	}
	defer w.Cancel(t.Context())
	if _, err := w.Write(b); err != nil {
		return err
	}
	_, err = w.Commit(t.Context(), chunkstore.Expected{Digest: digest.SHA512.FromBytes(b), Size: int64(len(b))})
	return err
}

// check compares what a backend holds with its history.
func (h *history) check(t *testing.T, driver storagedriver.StorageDriver) {
	t.Helper()
	s := openStore(t, driver)
	ctx := t.Context()
	visible := walked(t, s)
	for _, d := range visible {
		if err := s.Verify(ctx, d); err != nil {
			t.Errorf("visible but not whole: %v", err)
		}
	}
	for d, acknowledged := range h.content {
		if acknowledged && !slices.Contains(visible, d) {
			t.Errorf("%s was acknowledged and is lost", d)
		}
	}
	listed := walkedRecords(t, s, "tag")
	for key, values := range h.records {
		got := absent
		if b, err := s.GetRecord(ctx, "tag", key); err == nil {
			got = string(b)
		} else if !errors.Is(err, chunkstore.ErrNotFound) {
			t.Errorf("record %.60q: %v", key, err)
		}
		if !slices.Contains(values, got) || slices.Contains(listed, key) != (got != absent) {
			t.Errorf("record %.60q is %q (listed: %t), want one of %q", key, got, slices.Contains(listed, key), values)
		}
	}
}

// testFaults runs the script again and again, with a fault at its first call, its second, and so on, until it gets through.
// After each run the backend must be what the script knows, and a new process must be able to go on with it.
func testFaults(rule func(n int) Rule) func(*testing.T, storagedriver.StorageDriver) {
	return func(t *testing.T, driver storagedriver.StorageDriver) {
		const most = 1000
		for n := 1; n < most; n++ {
			faulty := NewFaulty(driver, rule(n))
			h := script(t, faulty)
			h.check(t, driver)
			if faulty.Calls() < n {
				if h.err != nil {
					t.Errorf("without a fault: %v", h.err)
				}
				return
			}
			if h.err != nil && !errors.Is(h.err, ErrInjected) {
				t.Errorf("call %d failed, the store says %v", n, h.err)
			}
			if again := script(t, driver); again.err != nil {
				t.Errorf("after a fault in call %d: %v", n, again.err)
			} else {
				again.check(t, driver)
			}
			wantNoUploads(t, driver)
			if t.Failed() {
				t.Fatalf("with a fault in call %d", n)
			}
			if err := driver.Delete(t.Context(), "/v1"); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("the script makes more than %d calls", most)
	}
}

func testFull(t *testing.T, driver storagedriver.StorageDriver) {
	ctx := t.Context()
	for _, room := range []int64{60_000, 50_100, 50_001} {
		s := openStore(t, NewLimited(driver, room))
		before := store(t, s, randomBytes(50_000, uint64(room)))
		b := randomBytes(30_000, 11)
		_, storeErr := tryStore(t, s, b)
		_, putErr := s.Put(ctx, b)
		for _, err := range []error{storeErr, putErr, s.PutRecord(ctx, "tag", "k", b)} {
			if !errors.Is(err, chunkstore.ErrNoSpace) {
				t.Errorf("with %d bytes left: %v, want ErrNoSpace", room-50_000, err)
			}
		}
		wantNoContent(t, s, digest.FromBytes(b))
		wantNoRecord(t, s, "tag", "k")
		commitAfterFailedWrite(t, s, b)
		wantContent(t, s, before, randomBytes(50_000, uint64(room)))
	}
	wantNoUploads(t, driver)
}

// commitAfterFailedWrite checks that a write's failure sticks, also for a caller who overlooks it and expects nothing.
func commitAfterFailedWrite(t *testing.T, s *chunkstore.Store, b []byte) {
	t.Helper()
	before := walked(t, s)
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, writeErr := w.Write(b)
	_, againErr := w.Write(nil)
	_, commitErr := w.Commit(t.Context(), chunkstore.Expected{Size: chunkstore.AnySize})
	for _, err := range []error{writeErr, againErr, commitErr} {
		if !errors.Is(err, chunkstore.ErrNoSpace) {
			t.Errorf("on a full backend: %v, want ErrNoSpace", err)
		}
	}
	if after := walked(t, s); len(after) != len(before) {
		t.Errorf("%d objects became visible", len(after)-len(before))
	}
}

func testTruncating(t *testing.T, driver storagedriver.StorageDriver) {
	openStore(t, driver) // begins the store
	s := openStore(t, &Truncating{StorageDriver: driver, Keep: 20_000})
	for _, n := range []int{20_001, 100_000} {
		b := randomBytes(n, 12)
		if _, err := tryStore(t, s, b); !errors.Is(err, chunkstore.ErrCorrupt) {
			t.Errorf("%d bytes: %v, want ErrCorrupt", n, err)
		}
		wantNoContent(t, s, digest.FromBytes(b))
	}
	b := randomBytes(20_000, 13)
	wantContent(t, s, store(t, s, b), b)
	wantNoUploads(t, driver)
}
