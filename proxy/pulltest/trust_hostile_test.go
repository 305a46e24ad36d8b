package pulltest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// disguised is an image whose layers are called something else; change may do more.
func disguised(t testing.TB, u *fakeUpstream, layerType string, change func(m map[string]any)) digest.Digest {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(u.manifests[bootable(t, "evil").push(t, u)].bytes, &m); err != nil {
		t.Fatal(err)
	}
	for _, l := range m["layers"].([]any) {
		l.(map[string]any)["mediaType"] = layerType
	}
	if change != nil {
		change(m)
	}
	return u.put(document{m["mediaType"].(string), marshal(t, m)})
}

// An image is one whatever its author calls its layers, its config and what it is about.
func TestDisguisedImages(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for _, layerType := range []string{
		simplesigning.PayloadType, "application/vnd.in-toto+json", "application/spdx+json", "text/spdx; x=y",
		bundle.MediaType,
		"application/vnd.dsse.envelope.v1+json",
	} {
		for what, change := range map[string]func(m map[string]any){
			"layers only": nil,
			"subject": func(m map[string]any) {
				m["subject"] = map[string]any{
					"mediaType": ocispec.MediaTypeImageManifest, "digest": digest.FromString("x"), "size": 1,
				}
			},
			"artifact type": func(m map[string]any) { m["artifactType"] = bundle.MediaType },
			"docker's config": func(m map[string]any) {
				m["config"].(map[string]any)["mediaType"] = "application/vnd.docker.container.image.v1+json"
			},
			"no config type": func(m map[string]any) { m["config"].(map[string]any)["mediaType"] = "" },
		} {
			t.Run(layerType+" "+what, func(t *testing.T) {
				h := newHarness(t, verifying(s.file))
				d := disguised(t, h.up, layerType, change)
				sig := simplesigning.Tag(digest.FromString("another"))
				h.up.tag("stable", d)
				h.up.tag(sig, d)
				for _, ref := range []string{"stable", d.String(), sig, strings.TrimSuffix(sig, ".sig")} {
					if ref == strings.TrimSuffix(sig, ".sig") {
						h.up.tag(ref, d)
					}
					if _, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(ref)); err == nil {
						t.Errorf("%s is served", ref)
					}
				}
			})
		}
	}
}

// What is said about images is shown by digest and under cosign's tags, and under no other.
func TestAboutImages(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, src)
	s.bundled(t, h.up, src, src, bundle.Signed)
	sig := simplesigning.Tag(src)
	h.pull(sig, registry.Original)
	h.pull(h.up.tags[sig].String(), registry.Original)
	h.up.tag("stable", h.up.tags[sig])
	if e := h.pullError("stable"); e.Status != http.StatusForbidden {
		t.Error(e)
	}
	// An artifact whose config is no image's: by digest if it says what it is about or of which type it is.
	empty := func(m map[string]any) {
		m["config"] = ocispec.DescriptorEmptyJSON
		delete(m, "artifactType")
	}
	d := disguised(t, h.up, "application/spdx+json", empty)
	if e := h.pullError(d.String()); e.Status != http.StatusForbidden {
		t.Error(e)
	}
	d = disguised(t, h.up, "application/spdx+json", func(m map[string]any) {
		empty(m)
		m["artifactType"] = "application/spdx+json"
	})
	h.pull(d.String(), registry.Original)
	h.up.tag("stable", d)
	if e := h.pullError("stable"); e.Status != http.StatusForbidden {
		t.Error(e)
	}
}

// A tag does not go back by an index that anybody could write, nor by a part of one.
func TestRollbackByIndex(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	type world struct {
		h          *harness
		a, b, c    digest.Digest // of amd64: signed, in this order
		arm1, arm2 digest.Digest
		index      func(members ...any) digest.Digest
	}
	amd := func(w *world, d digest.Digest) any { return w.h.up.member(d, "linux/amd64") }
	arm := func(w *world, d digest.Digest) any { return w.h.up.member(d, "linux/arm64") }
	signedIndex := func(w *world, members ...any) digest.Digest {
		d := w.index(members...)
		s.sign(t, w.h.up, d)
		return d
	}
	hidden := func(w *world, d digest.Digest) any {
		m := w.h.up.member(d, "linux/amd64")
		m["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
		return m
	}
	for what, c := range map[string]struct {
		good []func(w *world) digest.Digest
		back func(w *world) digest.Digest
		fine bool
	}{
		"image, image, index of the first": {
			[]func(*world) digest.Digest{func(w *world) digest.Digest { return w.a },
				func(w *world) digest.Digest { return w.b }},
			func(w *world) digest.Digest { return w.index(amd(w, w.a)) }, false,
		},
		"index, index, image of the first": {
			[]func(*world) digest.Digest{
				func(w *world) digest.Digest { return w.index(amd(w, w.a)) },
				func(w *world) digest.Digest { return w.index(amd(w, w.b)) },
			}, func(w *world) digest.Digest { return w.a }, false,
		},
		"another index of the first": {
			[]func(*world) digest.Digest{
				func(w *world) digest.Digest { return w.index(amd(w, w.a)) },
				func(w *world) digest.Digest { return w.index(amd(w, w.b)) },
			}, func(w *world) digest.Digest {
				first := w.h.up.manifests[w.index(amd(w, w.a))]
				return w.h.up.put(document{first.mediaType, append(append([]byte(nil), first.bytes...), '\n')})
			}, false,
		},
		"signed indexes, image of the first": {
			[]func(*world) digest.Digest{
				func(w *world) digest.Digest { return signedIndex(w, amd(w, w.a), arm(w, w.arm1)) },
				func(w *world) digest.Digest { return signedIndex(w, amd(w, w.b), arm(w, w.arm1)) },
			}, func(w *world) digest.Digest { return w.a }, false,
		},
		"one platform goes back": {
			[]func(*world) digest.Digest{
				func(w *world) digest.Digest { return w.index(amd(w, w.a), arm(w, w.arm1)) },
				func(w *world) digest.Digest { return w.index(amd(w, w.b), arm(w, w.arm1)) },
			}, func(w *world) digest.Digest { return w.index(amd(w, w.a), arm(w, w.arm2)) }, false,
		},
		"called an attestation": {
			[]func(*world) digest.Digest{func(w *world) digest.Digest { return w.a },
				func(w *world) digest.Digest { return w.b }},
			func(w *world) digest.Digest { return w.index(arm(w, w.b), hidden(w, w.a)) }, false,
		},
		"platforms move one by one": {
			[]func(*world) digest.Digest{
				func(w *world) digest.Digest { return w.index(amd(w, w.a), arm(w, w.arm1)) },
				func(w *world) digest.Digest { return w.index(amd(w, w.b), arm(w, w.arm1)) },
			}, func(w *world) digest.Digest { return w.index(amd(w, w.b), arm(w, w.arm2)) }, true,
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := &world{h: newHarness(t, verifying(s.file), func(h *harness) { h.rule.Rechunk = config.RechunkNever })}
			for content, d := range map[string]*digest.Digest{"a": &w.a, "b": &w.b, "c": &w.c} {
				*d = bootable(t, content).push(t, w.h.up)
				s.sign(t, w.h.up, *d)
			}
			for content, d := range map[string]*digest.Digest{"1": &w.arm1, "2": &w.arm2} {
				*d = bootable(t, content).with(arch("arm64")).push(t, w.h.up)
				s.sign(t, w.h.up, *d)
			}
			w.index = func(members ...any) digest.Digest {
				return pushIndex(t, w.h.up, ocispec.MediaTypeImageIndex, members)
			}
			var last digest.Digest
			for _, good := range c.good {
				last = good(w)
				w.h.up.tag("stable", last)
				w.h.refresh()
				w.h.pull("stable", registry.Original)
			}
			// What anybody may name takes no place in the memory.
			for range 3 {
				w.h.up.tag("stable", c.back(w))
				w.h.refresh()
				m, err := w.h.Images.Manifest(t.Context(), testRepo, "stable")
				if err != nil || (m.Digest == last) == c.fine {
					t.Fatalf("%v is served, %v", m, err)
				}
			}
		})
	}
}

// The memory of earlier versions holds what was signed and nothing else.
func TestRollbackMemory(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file), func(h *harness) { h.rule.Rechunk = config.RechunkNever })
	old, now := bootable(t, "old").push(t, h.up), bootable(t, "now").push(t, h.up)
	s.sign(t, h.up, old)
	s.sign(t, h.up, now)
	move := func(d digest.Digest) {
		h.up.tag("stable", d)
		h.refresh()
		h.pull("stable", registry.Original)
	}
	move(old)
	move(now)
	for i := range 5 {
		made := []any{h.up.member(now, "linux/amd64")}
		for j := range i + 1 {
			m := h.up.member(now, "unknown/unknown")
			m["digest"] = digest.FromString(strings.Repeat("x", 100*i+j))
			m["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
			made = append(made, m)
		}
		move(pushIndex(t, h.up, ocispec.MediaTypeImageIndex, made))
	}
	all, err := h.Tags.Records.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: "stable"})
	if err != nil || len(all.Seen) != 1 || all.Seen[0] != old || len(all.Signed) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Nothing is kept of an image that is refused.
func TestWarmRefused(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	d := bootable(t, "evil").push(t, h.up)
	err := h.Warmer.Warm(t.Context(), testRepo.String()+"@"+d.String(), func(operate.WarmEvent) {})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("warmed: %v", err)
	}
	if n := h.up.counts["GET blobs"]; n != 0 {
		t.Errorf("%d blobs were fetched", n)
	}
}

// Attestations crowd out no signature where they say what they are, in the list or in their manifests, whatever their
// number; where they do not, the refusal says that there was more than is looked at.
func TestCrowdsOfReferrers(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	raw := func(s *signer, d digest.Digest, predicate string) []byte {
		b, err := bundle.Sign(s.Private, bundle.Statement{
			Subjects: []digest.Digest{d}, Type: predicate, Predicate: json.RawMessage("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for what, c := range map[string]struct {
		crowd            int
		listed, manifest bool // who says what the bundles state
		want             string
	}{
		"listed":             {crowd: 500, listed: true, manifest: true},
		"in manifests":       {crowd: 50, manifest: true},
		"too many manifests": {crowd: 100, manifest: true, want: "only 64 of 101 referrers were looked at"},
		"nowhere":            {crowd: 10},
		"nowhere, and many":  {crowd: 40, want: "only 16 of 41 referrers were looked at"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(s.file))
			src := bootable(t, "one").push(t, h.up)
			var members []any
			add := func(b []byte, predicate string, told bool) {
				subject := ocispec.Descriptor{MediaType: h.up.manifests[src].mediaType, Digest: src,
					Size: int64(len(h.up.manifests[src].bytes))}
				a, err := bundle.Attach(subject, b, predicate)
				if err != nil {
					t.Fatal(err)
				}
				doc := a.Manifest.Bytes
				if !c.manifest {
					var m map[string]any
					if err := json.Unmarshal(doc, &m); err != nil {
						t.Fatal(err)
					}
					delete(m, "annotations")
					doc = marshal(t, m)
				}
				entry := map[string]any{"mediaType": a.Manifest.MediaType, "size": len(doc),
					"digest": h.up.put(document{a.Manifest.MediaType, doc}, a.Bundle.Bytes, a.Config.Bytes)}
				if told {
					entry["annotations"] = a.Annotations
				}
				members = append(members, entry)
			}
			for i := range c.crowd {
				add(raw(other, digest.FromString(strings.Repeat("x", i)), bundle.Provenance), bundle.Provenance, c.listed)
			}
			add(raw(s, src, bundle.Signed), bundle.Signed, c.listed)
			h.up.tag(strings.Replace(src.String(), ":", "-", 1), h.up.put(document{ocispec.MediaTypeImageIndex,
				marshal(t, map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex,
					"manifests": members})}))
			h.up.tag("stable", src)
			before := h.up.total()
			if c.want == "" {
				h.pull("stable", registry.Rechunked)
				if n := h.up.total() - before; c.listed && n > 20 {
					t.Errorf("%d requests to find a signature that is listed as one", n)
				}
				return
			}
			if e := h.pullError("stable"); e.Status != http.StatusForbidden || !strings.Contains(e.Message, c.want) {
				t.Errorf("%v, want %q", e, c.want)
			}
		})
	}
}
