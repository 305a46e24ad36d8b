package catalog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Summaries are those of the records as they are, and what did not change is not read again.
func TestSummaries(t *testing.T) {
	t.Parallel()
	const settled = 2 * time.Minute
	ctx := t.Context()
	driver := inmemory.New()
	tags := catalog.New(open(t, driver), nil).Tags
	tag := func(rule string) *catalog.Tag {
		d := digest.FromString(rule)
		return &catalog.Tag{SourceDigest: d, Digest: d, MediaType: "x", Served: catalog.Original, Rule: rule}
	}
	put := func(key catalog.TagKey, rule string) {
		t.Helper()
		if err := tags.Put(ctx, key, tag(rule)); err != nil {
			t.Fatal(err)
		}
	}
	now, read := time.Now(), 0
	s := catalog.NewSummaries(tags, func() time.Time { return now }, func(_ catalog.TagKey, t *catalog.Tag) string {
		read++
		return t.Rule
	})
	check := func(reads int, want ...string) {
		t.Helper()
		read = 0
		all, err := s.All(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range all {
			got = append(got, one.Key.Tag+" "+one.Of)
		}
		if len(got) != len(want) || read != reads {
			t.Fatalf("got %q with %d reads, want %q with %d", got, read, want, reads)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	check(0)
	put(catalog.TagKey{"a.io/x", "b"}, "one")
	put(catalog.TagKey{"a.io/x", "a"}, "two")
	now = now.Add(settled) // as if they had been written long ago
	check(2, "a two", "b one")
	check(0, "a two", "b one")
	now = time.Now() // what was written just now may be written again at the same time
	put(catalog.TagKey{"a.io/x", "b"}, "three")
	check(1, "a two", "b three")
	check(0, "a two", "b three") // but not by this process
	put(catalog.TagKey{"a.io/x", "c"}, "four")
	check(2, "a two", "b three", "c four")
	if err := tags.Delete(ctx, catalog.TagKey{"a.io/x", "c"}); err != nil {
		t.Fatal(err)
	}
	if err := tags.Delete(ctx, catalog.TagKey{"a.io/x", "a"}); err != nil {
		t.Fatal(err)
	}
	now = time.Now().Add(settled)
	check(1, "b three")
	check(0, "b three")
}

// What was kept is not read again by the next process, and never takes the place of what was written since.
func TestSummariesKept(t *testing.T) {
	t.Parallel()
	const n = 3000 // more than fit a record
	ctx := t.Context()
	driver, later := inmemory.New(), time.Now().Add(2*time.Minute)
	text := strings.Repeat("x", 1000)
	begin := func() (*catalog.Records, *catalog.Summaries[string, catalog.Repository, string], *int) {
		read := 0
		records := catalog.New(open(t, driver), nil)
		s := catalog.NewSummaries(records.Repositories, func() time.Time { return later },
			func(key string, _ *catalog.Repository) string {
				read++
				return key + text
			})
		s.Shelve("test 1")
		return records, s, &read
	}
	check := func(s *catalog.Summaries[string, catalog.Repository, string], read *int, want, reads int) {
		t.Helper()
		all, err := s.All(ctx)
		if err != nil || len(all) != want || *read != reads {
			t.Fatalf("%d with %d reads, want %d with %d: %v", len(all), *read, want, reads, err)
		}
		for _, one := range all {
			if one.Of != one.Key+text {
				t.Fatalf("%q says %.20q", one.Key, one.Of)
			}
		}
	}
	records, s, read := begin()
	for i := range n {
		if err := records.Repositories.Put(ctx, fmt.Sprintf("a.io/%04d", i), &catalog.Repository{}); err != nil {
			t.Fatal(err)
		}
	}
	check(s, read, n, n)
	if err := s.Keep(ctx); err != nil {
		t.Fatal(err)
	}

	records, s, read = begin()
	check(s, read, n, 0)
	if err := records.Repositories.Put(ctx, "a.io/0007", &catalog.Repository{Since: later}); err != nil {
		t.Fatal(err)
	}
	if err := records.Repositories.Delete(ctx, "a.io/0008"); err != nil {
		t.Fatal(err)
	}
	_, s, read = begin()
	check(s, read, n-1, 1)

	// A damaged part is read anew, and what is kept shrinks with what there is.
	store := open(t, driver)
	if err := store.PutRecord(ctx, "upkeep", "summaries test 1 1", []byte("{")); err != nil {
		t.Fatal(err)
	}
	_, s, read = begin()
	if all, err := s.All(ctx); err != nil || len(all) != n-1 || *read == 0 || *read == n {
		t.Fatalf("%d with %d reads: %v", len(all), *read, err)
	}
	for i := range n {
		if err := records.Repositories.Delete(ctx, fmt.Sprintf("a.io/%04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if err := records.Repositories.Put(ctx, fmt.Sprintf("b.io/%04d", i), &catalog.Repository{}); err != nil {
			t.Fatal(err)
		}
	}
	_, s, read = begin()
	check(s, read, 50, 50)
	if err := s.Keep(ctx); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := store.WalkRecords(ctx, "upkeep", func(key string, _ time.Time) error {
		left = append(left, key)
		return nil
	})
	if err != nil || len(left) != 1 {
		t.Errorf("kept are %q: %v", left, err)
	}
}
