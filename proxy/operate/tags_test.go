package operate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
)

// refused are refusals of all kinds of tags.
type refused struct{ tags []string }

// Each implements operate.Refusals.
func (r refused) Each(_ context.Context, _ catalog.Prefix[catalog.TagKey],
	fn func(catalog.TagKey, *catalog.Refusal) error) error {
	for _, tag := range r.tags {
		if err := fn(catalog.TagKey{Repository: "quay.io/fleet/os-0000", Tag: tag},
			&catalog.Refusal{Reason: "unsigned", CheckedAt: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// Tags of signatures are no tags that anybody pulls an image by: reports have none of them, whatever became of them.
func TestSignaturesAreNoTags(t *testing.T) {
	t.Parallel()
	v := manyRepositories(t, 1)
	d := digest.FromString("image")
	var about refused
	for _, kind := range []string{"", ".sig", ".att", ".sbom"} {
		tag := string(name.TagAbout(d, kind))
		about.tags = append(about.tags, tag)
		if kind == ".att" {
			continue // nothing but refused
		}
		rec := catalog.Tag{SourceDigest: d, Digest: d, MediaType: "x", Served: catalog.Original}
		if err := v.Pulled.Put(t.Context(), catalog.TagKey{Repository: "quay.io/fleet/os-0000", Tag: tag},
			&rec); err != nil {
			t.Fatal(err)
		}
	}
	v.Refusals = about
	all, err := v.Repositories(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Tags) != 1 || all[0].Tags[0].Tag != "stable" {
		t.Errorf("all: %+v, %v", all, err)
	}
	one, err := v.Repository(t.Context(), "quay.io/fleet/os-0000")
	if err != nil || len(one.Tags) != 1 || one.Tags[0].Tag != "stable" {
		t.Errorf("one: %+v, %v", one, err)
	}
	if _, err := v.Repository(t.Context(), "quay.io/fleet/os-0000:"+about.tags[1]); !errors.Is(err, operate.ErrNotFound) {
		t.Errorf("a signature's tag: %v", err)
	}
}

// What images call themselves is told of tags, versions and those beside them; lists of all repositories read no image.
func TestVersionsAreNamed(t *testing.T) {
	t.Parallel()
	v := manyRepositories(t, 1)
	asked := 0
	v.Label = func(_ context.Context, repository string, d digest.Digest) string {
		asked++
		return "42-" + d.Encoded()[:4]
	}
	if _, err := v.Repositories(t.Context()); err != nil || asked > 0 {
		t.Errorf("%d images were read for a list, %v", asked, err)
	}
	want := func(what, version, of string) {
		t.Helper()
		if of == "" || version != "42-"+digest.Digest(of).Encoded()[:4] {
			t.Errorf("%s %s is called %q", what, of, version)
		}
	}
	r, err := v.Repository(t.Context(), "quay.io/fleet/os-0000")
	if err != nil {
		t.Fatal(err)
	}
	want("tag", r.Tags[0].Version, r.Tags[0].Digest)
	for _, h := range r.History {
		want("version", h.Version, h.Digest)
	}
	i, err := v.Image(t.Context(), r.History[1].Digest)
	if err != nil || len(i.Others) != len(r.History)-1 {
		t.Fatalf("%+v, %v", i, err)
	}
	want("image", i.Version, i.Digest)
	for _, o := range i.Others {
		want("another", o.Version, o.Digest)
	}
}

// manifests are stored ones.
type manifests map[digest.Digest]string

// Bytes implements operate.Manifests.
func (m manifests) Bytes(_ context.Context, d digest.Digest) ([]byte, error) {
	if text, ok := m[d]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("not stored")
}

// Tags of several platforms lead to an index: it is told of by its images that were made here.
func TestIndexesLeadToImages(t *testing.T) {
	t.Parallel()
	v := manyRepositories(t, 2)
	made := []string{digest.FromString("quay.io/fleet/os-00000").String(),
		digest.FromString("quay.io/fleet/os-00010").String()}
	text := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`
	for i, of := range []string{digest.FromString("not made here").String(), made[0], made[1]} {
		text += []string{"", ","}[min(i, 1)] + fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
			`"digest":"%s","size":2,"platform":{"os":"linux","architecture":"%s"}}`, of, []string{"arm", "amd64", "arm64"}[i])
	}
	text += "]}"
	index := digest.FromString(text)
	v.Manifests = manifests{index: text}
	got, err := v.Image(t.Context(), index.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != made[0] || len(got.Platforms) != 2 || got.Platforms[1].Digest != made[1] {
		t.Errorf("%s, %+v", got.Digest, got.Platforms)
	}
	for _, none := range []string{"", "sha256:0", digest.FromString("x").String()} {
		if _, err := v.Image(t.Context(), none); !errors.Is(err, operate.ErrNotFound) {
			t.Errorf("%q: %v", none, err)
		}
	}
}
