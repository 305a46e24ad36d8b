package pulltest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

func arch(a string) func(*testImage) { return func(i *testImage) { i.arch = a } }

// document is an index as any reader sees it.
func indexDocument(t *testing.T, b []byte) (doc map[string]any, members []any) {
	t.Helper()
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc, doc["manifests"].([]any)
}

func TestIndex(t *testing.T) {
	t.Parallel()
	for _, mediaType := range []string{ocispec.MediaTypeImageIndex, image.DockerManifestList} {
		h := newHarness(t)
		amd, arm := bootable(t, "amd").push(t, h.up), bootable(t, "arm").with(arch("arm64")).push(t, h.up)
		s390 := bootable(t, "s390").with(arch("s390x")).push(t, h.up)
		attestation := h.up.member(amd, "unknown/unknown")
		attestation["digest"] = digest.FromString("attestation")
		attestation["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
		nested := map[string]any{"mediaType": ocispec.MediaTypeImageIndex, "digest": digest.FromString("nested"), "size": 5}
		in := []any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64"), h.up.member(s390, "linux/s390x"),
			attestation, nested}
		src := pushIndex(t, h.up, mediaType, in)
		h.up.tag("stable", src)

		m := h.pull("stable", registry.Rechunked)
		if m.MediaType != ocispec.MediaTypeImageIndex || m.Source != src {
			t.Errorf("%s: got a %s of %s", mediaType, m.MediaType, m.Source)
		}
		doc, out := indexDocument(t, m.Bytes)
		if doc["x-unknown"] != 7.0 || doc["annotations"].(map[string]any)["kept"] != "yes" ||
			doc["mediaType"] != ocispec.MediaTypeImageIndex {
			t.Errorf("%s: fields of the index: %v", mediaType, doc)
		}
		_, original := indexDocument(t, h.up.manifests[src].bytes)
		if diff := cmp.Diff(original[2:], out[2:]); diff != "" {
			t.Errorf("%s: members that are not to be replaced: %s", mediaType, diff)
		}
		for i, source := range []digest.Digest{amd, arm} {
			member := out[i].(map[string]any)
			if member["x-member"] != true || member["platform"] == nil || member["annotations"] == nil {
				t.Errorf("%s: member lost fields: %v", mediaType, member)
			}
			child, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(member["digest"].(string)))
			if err != nil || child.Served != registry.Rechunked || child.Source != source ||
				float64(len(child.Bytes)) != member["size"] {
				t.Fatalf("%s: member %d: %+v, %v", mediaType, i, child, err)
			}
			h.same(child, source)
		}
		// The source's digest gives the source's bytes.
		byDigest, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(src))
		if err != nil || byDigest.Served != registry.Original || byDigest.MediaType != mediaType {
			t.Errorf("%s: source index: %+v, %v", mediaType, byDigest, err)
		}
	}
}

// One platform that fails leaves the others rechunked, and is tried again.
func TestIndexWithFailingPlatform(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	amd := bootable(t, "amd").push(t, h.up)
	broken := bootable(t, "arm").with(arch("arm64"))
	broken.layers[1] = []byte("no layer")
	arm := broken.push(t, h.up)
	h.up.tag("stable", pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
		[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")}))
	m := h.pull("stable", registry.Rechunked)
	_, out := indexDocument(t, m.Bytes)
	if out[0].(map[string]any)["digest"] == amd.String() || out[1].(map[string]any)["digest"] != arm.String() {
		t.Errorf("members: %v", out)
	}
	h.clock.advance(time.Minute + time.Second)
	if again := h.pull("stable", registry.Rechunked); again.Digest != m.Digest {
		t.Errorf("while it is tried again: %s", again.Digest)
	}
	h.awaitJobs()
	if n := h.Jobs.Counts().Failed; n != 2 {
		t.Errorf("%d tries of the failing platform, want 2", n)
	}
	if rec, err := h.Records.Tags.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(),
		Tag: "stable"}); err != nil || rec.Failure == nil || rec.Failure.Tries != 2 {
		t.Errorf("record %+v, %v", rec, err)
	}
}

func TestIndexWithoutOurPlatforms(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.rule.Platforms = []string{"linux/riscv64"} })
	amd := bootable(t, "amd").push(t, h.up)
	src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex, []any{h.up.member(amd, "linux/amd64")})
	h.up.tag("stable", src)
	if m := h.pull("stable", registry.Original); m.Digest != src {
		t.Errorf("got %s", m.Digest)
	}
	if n := h.up.count("GET blobs"); n != 0 {
		t.Errorf("%d blobs were fetched", n)
	}
}

// An index of which one platform is out of reach stays at the version before.
func TestIndexOutOfReach(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.jobs = 2 })
	push := func(v string) digest.Digest {
		amd, arm := bootable(t, "amd"+v).push(t, h.up), bootable(t, "arm"+v).with(arch("arm64")).push(t, h.up)
		return pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
			[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")})
	}
	h.up.tag("stable", push("1"))
	first := h.pull("stable", registry.Rechunked)
	h.up.tag("stable", push("2"))
	h.up.failWith("GET blobs", 503)
	h.refresh()
	h.pull("stable", registry.Stale)
	h.awaitJobs()
	if m := h.pull("stable", registry.Stale); m.Digest != first.Digest {
		t.Errorf("got %s, want %s", m.Digest, first.Digest)
	}
}

func TestMTimePreserve(t *testing.T) {
	t.Parallel()
	h := newHarness(t, func(h *harness) { h.rule.MTime = config.MTimePreserve })
	src := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", src)
	m := h.pull("stable", registry.Rechunked)
	for _, e := range h.filesystem(m.Bytes).Entries {
		if e.Path == "usr/bin/app" && e.Sec != epoch.Unix() {
			t.Errorf("%s has the time %d", e.Path, e.Sec)
		}
	}
	h.same(m, src)
}
