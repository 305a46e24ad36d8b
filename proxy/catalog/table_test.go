package catalog_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB, driver storagedriver.StorageDriver) *chunkstore.Store {
	t.Helper()
	s, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tagOf(d string, at time.Time) catalog.Tag {
	return catalog.Tag{
		SourceDigest: digest.FromString("source"), Digest: digest.FromString(d), MediaType: "type",
		Served:    catalog.Rechunked,
		CheckedAt: at, Rule: "auto", Failure: &catalog.Failure{Source: digest.FromString("source")},
	}
}

// What a record said is remembered for the bytes that said so, and belongs to whoever got it.
func TestParsedRecords(t *testing.T) {
	t.Parallel()
	driver := inmemory.New()
	records, other := catalog.New(open(t, driver), nil), open(t, driver) // of another process
	key := catalog.TagKey{Repository: "registry.test/os", Tag: "stable"}
	check := func(want *catalog.Tag) {
		t.Helper()
		for range 2 {
			got, err := records.Tags.Get(t.Context(), key)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v %s", err, diff)
			}
			if got != nil {
				got.Digest, got.Failure = "", nil
			}
		}
	}
	put := func(rec catalog.Tag) {
		t.Helper()
		if err := records.Tags.Put(t.Context(), key, &rec); err != nil {
			t.Fatal(err)
		}
		check(&rec)
	}
	first, second := tagOf("1", epoch), tagOf("2", epoch.Add(time.Hour))
	check(nil)
	for _, rec := range []catalog.Tag{first, second, first} {
		put(rec)
	}
	if err := other.PutRecord(t.Context(), "tag", key.String(), []byte(`{"digest": "none"}`)); err != nil {
		t.Fatal(err)
	}
	check(nil)
	put(second)
	if err := other.DeleteRecord(t.Context(), "tag", key.String()); err != nil {
		t.Fatal(err)
	}
	check(nil)
}

// Whatever is wrong with a record, it counts as missing, is logged and can be written anew.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := open(t, inmemory.New())
	records := catalog.New(store, slog.New(slog.NewTextHandler(&log, nil)))
	key, good := catalog.TagKey{Repository: "registry.test/os", Tag: "stable"}, tagOf("1", epoch)
	for _, damaged := range []string{
		"", "garbage", "[]", `{}`, `{"digest":`, `{"schema": 2}`,
		`{"source_digest":"x","digest":"y","media_type":"t","served":"original"}`,
	} {
		if err := store.PutRecord(t.Context(), "tag", key.String(), []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		got, err := records.Tags.Get(t.Context(), key)
		if got != nil || err != nil || !strings.Contains(log.String(), "damaged") ||
			!strings.Contains(log.String(), key.String()) {
			t.Errorf("%q is read as %v, %v; log: %s", damaged, got, err, log.String())
		}
		if err := records.Tags.Put(t.Context(), key, &good); err != nil {
			t.Fatal(err)
		}
		if got, err := records.Tags.Get(t.Context(), key); err != nil || !cmp.Equal(got, &good) {
			t.Errorf("after %q: %v, %v", damaged, got, err)
		}
	}
}

// A listing has the keys of one repository, whatever the names beside it.
func TestListing(t *testing.T) {
	t.Parallel()
	records := catalog.New(open(t, inmemory.New()), nil)
	tag := tagOf("1", epoch)
	var all []catalog.TagKey
	for _, repository := range []string{"a.test/os", "a.test/os-old", "a.test/os/x", "a.test:5000/os", "b.test/os"} {
		for _, name := range []string{"1", "2"} {
			key := catalog.TagKey{Repository: repository, Tag: name}
			all = append(all, key)
			if err := records.Tags.Put(t.Context(), key, &tag); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(of catalog.Prefix[catalog.TagKey]) (out []catalog.TagKey) {
		t.Helper()
		err := records.Tags.Each(t.Context(), of, func(key catalog.TagKey, got *catalog.Tag) error {
			if !cmp.Equal(got, &tag) {
				t.Errorf("%v is %v", key, got)
			}
			out = append(out, key)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return out
	}
	for i := 0; i < len(all); i += 2 {
		if diff := cmp.Diff(all[i:i+2], list(catalog.TagsOf(all[i].Repository))); diff != "" {
			t.Error(diff)
		}
	}
	got := list(catalog.Prefix[catalog.TagKey]{})
	slices.SortFunc(all, func(a, b catalog.TagKey) int { return strings.Compare(a.String(), b.String()) })
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
}
