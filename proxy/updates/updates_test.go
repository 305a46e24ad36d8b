package updates_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/updates"
	"github.com/strata-oci/strata/rechunk/compare"
)

const manifestOf = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":` +
	`"application/vnd.oci.image.config.v1+json","digest":"%s","size":2},"layers":[]}`

const indexOf = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":` +
	`"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%d,` +
	`"platform":{"os":"linux","architecture":"arm64"}}]}`

// Both images may be tags, digests in a repository or digests alone, of one repository or of two, and images of indexes;
// what is not here is told from what cannot be read.
func TestNamed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) digest.Digest {
		d, err := store.Put(ctx, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	records := catalog.New(store, nil)
	old := put(fmt.Sprintf(manifestOf, digest.FromString("old")))
	text := fmt.Sprintf(manifestOf, digest.FromString("new"))
	next := put(text)
	index := put(fmt.Sprintf(indexOf, next, len(text)))
	for key, d := range map[catalog.TagKey]digest.Digest{
		{Repository: "a.example/os", Tag: "1"}: old, {Repository: "b.example:5000/os", Tag: "2"}: index,
	} {
		const media = "application/vnd.oci.image.manifest.v1+json"
		tag := &catalog.Tag{SourceDigest: d, SourceType: media, Digest: d, MediaType: media, Served: catalog.Original}
		if err := records.Tags.Put(ctx, key, tag); err != nil {
			t.Fatal(err)
		}
	}
	for format, bytes := range map[string]int64{"tar-diff-1": 700, "tar-diff-2": 600} {
		key := catalog.ArtifactKey{Target: next, Source: old, Format: format}
		artifact := &catalog.Artifact{Digest: old, Size: 1, Type: "x",
			Costs: compare.Deltas{Format: format, DeltaBytes: bytes}}
		if err := records.Artifacts.Put(ctx, key, artifact); err != nil {
			t.Fatal(err)
		}
	}
	u := updates.New(nil, records, store, nil)
	const there = "linux/arm64"
	for _, tc := range []struct {
		from, to, platform string
		missing            bool
	}{
		{"a.example/os:1", "b.example:5000/os:2", there, false},
		{"a.example/os@" + old.String(), next.String(), "", false},
		{old.String(), index.String(), there, false},
		{"a.example/os:1", "b.example:5000/os:2", "linux/s390x", true},
		{"a.example/os:9", next.String(), there, true},
		{"a.example/os:1", "c.example/os:2", there, true},
		{"a.example/os:1", digest.FromString("nothing").String(), there, true},
		{"a.example/os@sha256:12", next.String(), there, true},
		{"", next.String(), there, true},
		{old.String(), "b.example:5000/os", there, true},
	} {
		got, err := u.Update(ctx, tc.from, tc.to, tc.platform, false)
		if tc.missing {
			if !errors.Is(err, operate.ErrNotFound) {
				t.Errorf("%+v: %v", tc, err)
			}
			continue
		}
		if err != nil || got.DeltaBytes != 600 {
			t.Errorf("%+v: %+v, %v; the smaller artifact has 600 bytes", tc, got, err)
		}
	}
}
