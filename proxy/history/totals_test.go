package history_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/rechunk"
)

// What is remembered of a lineage is the same after it was written and read.
func TestLineageAsText(t *testing.T) {
	t.Parallel()
	var versions []rechunk.Version
	for i := range 3 {
		versions = append(versions, rechunk.Version{Created: time.Unix(int64(i), 0).UTC(), Result: rechunk.Result{
			Digest: digest.FromString(string(rune('a' + i))), Sequence: 3 - i, NewBytes: 5, SourceNewBytes: 3,
		}, Layers: []rechunk.VersionLayer{{Digest: digest.FromString("same"), Size: 7}, {Digest: digest.FromString(
			string(rune('A' + i))), Size: 1 << 40}}})
	}
	for _, want := range []history.Lineage{history.LineageOf(versions), history.LineageOf(nil)} {
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got history.Lineage
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(got)
		if err != nil || !bytes.Equal(b, again) || len(got.Layers) != len(want.Layers) {
			t.Errorf("%s became %s: %v", b, again, err)
		}
		if diff := cmp.Diff(want.Updates, got.Updates); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzLayers(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("AAAAAAAAAAEAAAAAAAAAAg=="))
	f.Add([]byte("AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var l, again history.Layers
		if l.UnmarshalText(text) != nil {
			return
		}
		b, err := l.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(b); err != nil || !slices.Equal(l, again) {
			t.Errorf("%q became %q: %v", text, b, err)
		}
	})
}
