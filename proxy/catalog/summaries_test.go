package catalog_test

import (
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
	tags := catalog.New(open(t, inmemory.New()), nil).Tags
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
	check(1, "a two", "b three")
	if err := tags.Delete(ctx, catalog.TagKey{"a.io/x", "a"}); err != nil {
		t.Fatal(err)
	}
	now = time.Now().Add(settled)
	check(1, "b three")
	check(0, "b three")
}
