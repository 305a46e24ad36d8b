package service

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/registry"
)

// What a record said is remembered for the bytes that said so, and belongs to whoever got it.
func TestParsedRecords(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	other, err := chunkstore.New(h.driver, chunkstore.Options{}) // of another process
	if err != nil {
		t.Fatal(err)
	}
	first := tagRecord{
		SourceDigest: digest.FromString("source"), Digest: digest.FromString("1"), MediaType: "type", Served: registry.Rechunked, CheckedAt: epoch, Rule: config.RechunkAuto,
		Failure: &failure{Source: digest.FromString("source")},
	}
	second := first
	second.Digest, second.CheckedAt = digest.FromString("2"), epoch.Add(time.Hour)
	check := func(want *tagRecord) {
		t.Helper()
		for range 2 {
			got, err := h.tag(t.Context(), testRepo, "stable")
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v %s", err, diff)
			}
			if got != nil {
				got.Digest, got.Failure = "", nil
			}
		}
	}
	key := tagKey(testRepo, "stable")
	check(nil)
	for _, rec := range []tagRecord{first, second, first} {
		if err := h.putRecord(t.Context(), kindTag, key, rec); err != nil {
			t.Fatal(err)
		}
		check(&rec)
	}
	if err := other.PutRecord(t.Context(), kindTag, key, []byte(`{"digest": "none"}`)); err != nil {
		t.Fatal(err)
	}
	check(nil)
	if err := h.putRecord(t.Context(), kindTag, key, second); err != nil {
		t.Fatal(err)
	}
	check(&second)
	if err := other.DeleteRecord(t.Context(), kindTag, key); err != nil {
		t.Fatal(err)
	}
	check(nil)
}
