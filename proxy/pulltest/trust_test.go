package pulltest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk/image"
)

// signer is somebody who signs at the upstream.
type signer struct {
	keys.Private
	file string // with the public key
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	k, err := keys.Generate(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cosign.pub")
	if err := os.WriteFile(file, k.Public().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &signer{k, file}
}

// payload is what cosign signs.
func payload(t testing.TB, reference string, d digest.Digest) []byte {
	t.Helper()
	b, err := simplesigning.Payload(simplesigning.Claim{Reference: reference, Digest: d})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signed makes a signature of a payload.
func (s *signer) signed(t testing.TB, p []byte) simplesigning.Signed {
	t.Helper()
	sig, err := s.Sign(p)
	if err != nil {
		t.Fatal(err)
	}
	return simplesigning.Signed{Payload: p, Signature: sig}
}

// attach puts signatures under the tag of a digest.
func (u *fakeUpstream) attach(t testing.TB, d digest.Digest, all ...simplesigning.Signed) {
	t.Helper()
	img, err := simplesigning.Build(all)
	if err != nil {
		t.Fatal(err)
	}
	blobs := [][]byte{img.Config.Bytes}
	for _, p := range img.Payloads {
		blobs = append(blobs, p.Bytes)
	}
	u.tag(simplesigning.Tag(d), u.put(document{img.Manifest.MediaType, img.Manifest.Bytes}, blobs...))
}

// sign signs a digest as cosign 2 does.
func (s *signer) sign(t testing.TB, u *fakeUpstream, d digest.Digest) {
	t.Helper()
	u.attach(t, d, s.signed(t, payload(t, testRepo.String(), d)))
}

// bundled signs a digest as cosign 3 does; about is what the statement says it is about.
func (s *signer) bundled(t testing.TB, u *fakeUpstream, d, about digest.Digest, predicate string) {
	t.Helper()
	raw, err := bundle.Sign(s.Private, bundle.Statement{
		Subjects: []digest.Digest{about}, Type: predicate, Predicate: json.RawMessage("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	u.refer(t, d, raw)
}

// refer makes a bundle refer to a digest, by the tag that stands in for the referrers API.
func (u *fakeUpstream) refer(t testing.TB, d digest.Digest, raw []byte) {
	t.Helper()
	a, err := bundle.Attach(ocispec.Descriptor{
		MediaType: u.manifests[d].mediaType, Digest: d, Size: int64(len(u.manifests[d].bytes)),
	}, raw, bundle.Signed)
	if err != nil {
		t.Fatal(err)
	}
	at := u.put(document{a.Manifest.MediaType, a.Manifest.Bytes}, a.Bundle.Bytes, a.Config.Bytes)
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex,
		"manifests": []any{map[string]any{"mediaType": a.Manifest.MediaType, "digest": at, "size": len(a.Manifest.Bytes)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	u.tag(strings.Replace(d.String(), ":", "-", 1), u.put(document{ocispec.MediaTypeImageIndex, index}))
}

// verifying configures whose signatures are needed.
func verifying(files ...string) func(*harness) {
	return func(h *harness) { h.rule.Verify = config.Verify{Keys: files} }
}

func TestSignedImagesAreServed(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	for what, sign := range map[string]func(*harness, digest.Digest){
		"cosign 2": func(h *harness, d digest.Digest) { s.sign(t, h.up, d) },
		"cosign 3": func(h *harness, d digest.Digest) { s.bundled(t, h.up, d, d, bundle.Signed) },
		"another signature before": func(h *harness, d digest.Digest) {
			p := payload(t, testRepo.String(), d)
			h.up.attach(t, d, other.signed(t, p), s.signed(t, p))
		},
		"with its tag": func(h *harness, d digest.Digest) {
			h.up.attach(t, d, s.signed(t, payload(t, testRepo.String()+":stable", d)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(newSigner(t).file, s.file))
			src := bootable(t, "one").push(t, h.up)
			sign(h, src)
			h.up.tag("stable", src)
			m := h.pull("stable", registry.Rechunked)
			for _, d := range []digest.Digest{src, m.Digest} {
				if _, err := h.Images.Manifest(t.Context(), testRepo, name.Reference(d)); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
			// A hot tag costs the upstream its check and nothing more.
			before := h.up.total()
			h.refresh()
			h.pull("stable", registry.Rechunked)
			if n := h.up.total() - before; n != 1 {
				t.Errorf("%d requests for a hot tag", n)
			}
		})
	}
}

// Whatever is wrong with a signature, the image is served neither by tag nor by digest, nothing is made of it, and the
// client is told whose signature is missing.
func TestTamperings(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	flip := func(sig simplesigning.Signed) simplesigning.Signed {
		sig.Signature = append([]byte(nil), sig.Signature...)
		sig.Signature[len(sig.Signature)-1] ^= 1
		return sig
	}
	for what, c := range map[string]struct {
		tamper func(t *testing.T, h *harness, d digest.Digest)
		want   string
	}{
		"no signature": {func(*testing.T, *harness, digest.Digest) {}, "there is no tag"},
		"other key":    {func(t *testing.T, h *harness, d digest.Digest) { other.sign(t, h.up, d) }, "another key"},
		"other digest": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, s.signed(t, payload(t, testRepo.String(), digest.FromString("other"))))
		}, "another image"},
		"other repository": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, s.signed(t, payload(t, "registry.test/org/other", d)))
		}, "another repository"},
		"repository that begins alike": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, s.signed(t, payload(t, testRepo.String()+"-evil", d)))
		}, "another repository"},
		"other host": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, s.signed(t, payload(t, "evil.test/org/os", d)))
		}, "another repository"},
		"damaged signature": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, flip(s.signed(t, payload(t, testRepo.String(), d))))
		}, "another key"},
		"empty signature": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.attach(t, d, simplesigning.Signed{Payload: payload(t, testRepo.String(), d)})
		}, "another key"},
		"signature of another payload": {func(t *testing.T, h *harness, d digest.Digest) {
			sig := s.signed(t, payload(t, testRepo.String(), digest.FromString("other")))
			sig.Payload = payload(t, testRepo.String(), d)
			h.up.attach(t, d, sig)
		}, "another key"},
		"payload of another type": {func(t *testing.T, h *harness, d digest.Digest) {
			p := strings.Replace(string(payload(t, testRepo.String(), d)), "cosign container", "atomic container", 1)
			h.up.attach(t, d, s.signed(t, []byte(p)))
		}, "another type"},
		"payload removed": {func(t *testing.T, h *harness, d digest.Digest) {
			p := payload(t, testRepo.String(), d)
			h.up.attach(t, d, s.signed(t, p))
			delete(h.up.blobs, digest.FromBytes(p))
		}, "payload of signature 1 is missing"},
		"a tag that holds an image": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.tag(simplesigning.Tag(d), bootable(t, "evil").push(t, h.up))
		}, "holds no signatures"},
		"signature of another image, moved": {func(t *testing.T, h *harness, d digest.Digest) {
			elsewhere := bootable(t, "good").push(t, h.up)
			s.sign(t, h.up, elsewhere)
			h.up.tag(simplesigning.Tag(d), h.up.tags[simplesigning.Tag(elsewhere)])
		}, "another image"},
		"more signatures than are looked at": {func(t *testing.T, h *harness, d digest.Digest) {
			p := payload(t, testRepo.String(), d)
			var all []simplesigning.Signed
			for range simplesigning.MaxSignatures {
				all = append(all, other.signed(t, p))
			}
			h.up.attach(t, d, append(all, s.signed(t, p))...)
		}, "only 32 of 33 signatures were looked at"},
		"bundle by another key": {func(t *testing.T, h *harness, d digest.Digest) {
			other.bundled(t, h.up, d, d, bundle.Signed)
		}, "another key"},
		"bundle of another subject": {func(t *testing.T, h *harness, d digest.Digest) {
			s.bundled(t, h.up, d, digest.FromString("other"), bundle.Signed)
		}, "another image"},
		"bundle of another repository": {func(t *testing.T, h *harness, d digest.Digest) {
			raw, err := bundle.Sign(s.Private,
				bundle.Statement{Subjects: []digest.Digest{d}, Names: []string{"registry.test/org/other:1"},
					Type: bundle.Signed, Predicate: json.RawMessage("{}")})
			if err != nil {
				t.Fatal(err)
			}
			h.up.refer(t, d, raw)
		}, "another repository, registry.test/org/other:1"},
		"attestation in place of a signature": {func(t *testing.T, h *harness, d digest.Digest) {
			s.bundled(t, h.up, d, d, bundle.Provenance)
		}, "attestation"},
		"bundle with another statement": {func(t *testing.T, h *harness, d digest.Digest) {
			raw, err := bundle.Sign(s.Private, bundle.Statement{
				Subjects: []digest.Digest{digest.FromString("other")}, Type: bundle.Signed, Predicate: json.RawMessage("{}"),
			})
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			envelope := doc["dsseEnvelope"].(map[string]any)
			b, _ := base64.StdEncoding.DecodeString(envelope["payload"].(string))
			envelope["payload"] = []byte(strings.Replace(string(b), digest.FromString("other").Encoded(), d.Encoded(), 1))
			raw, _ = json.Marshal(doc)
			h.up.refer(t, d, raw)
		}, "another key"},
		"bundle that is none": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.refer(t, d, []byte("{}"))
		}, "invalid bundle"},
		"certificate where a key belongs": {func(t *testing.T, h *harness, d digest.Digest) {
			h.up.refer(t, d, []byte(`{"mediaType":"`+bundle.MediaType+`","verificationMaterial":{"certificate":{"rawBytes":"AA=="}},
				"messageSignature":{"signature":"AA=="}}`))
		}, "no identity is configured"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, first := range []string{string(config.FirstPullWait), string(config.FirstPullOriginal)} {
				h := newHarness(t, verifying(s.file), func(h *harness) { h.rule.FirstPull = config.FirstPull(first) })
				src := bootable(t, "one").push(t, h.up)
				c.tamper(t, h, src)
				h.up.tag("stable", src)
				for _, ref := range []string{"stable", src.String(), "stable"} {
					e := h.pullError(ref)
					if e.Status != http.StatusForbidden || e.Detail != (registry.Denial{By: "verify"}) ||
						!strings.Contains(e.Message, c.want) ||
						!strings.Contains(e.Message, s.Public().ID()) {
						t.Errorf("%s: %d %s; want %q and the key's name", ref, e.Status, e.Message, c.want)
					}
				}
				for _, d := range append(h.blobsOf(src), src) {
					if h.given(d) {
						t.Errorf("%s of an image that is refused is given", d)
					}
				}
				if n := len(h.Jobs.Reports()); n != 0 {
					t.Errorf("%d jobs for an image that is refused", n)
				}
			}
		})
	}
}

// A signature that names a tag is none for another, and one for the image all the same.
func TestTagsInSignatures(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	src := bootable(t, "one").push(t, h.up)
	h.up.attach(t, src, s.signed(t, payload(t, testRepo.String()+":beta", src)))
	h.up.tag("stable", src)
	h.up.tag("beta", src)
	for range 2 {
		if e := h.pullError("stable"); e.Status != http.StatusForbidden || !strings.Contains(e.Message, "another tag") {
			t.Error(e)
		}
		h.pull("beta", registry.Rechunked)
		h.pull(src.String(), registry.Original)
	}
	h.up.attach(t, src, s.signed(t, payload(t, testRepo.String()+":beta", src)),
		s.signed(t, payload(t, testRepo.String()+":stable", src)))
	h.pull("stable", registry.Rechunked)
}

// A version that was good is served on while what comes after it is not signed, until it is; then the tag moves.
func TestLateSignature(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	first := bootable(t, "one").push(t, h.up)
	s.sign(t, h.up, first)
	h.up.tag("stable", first)
	good := h.pull("stable", registry.Rechunked)

	second := bootable(t, "two").push(t, h.up)
	h.up.tag("stable", second)
	h.refresh()
	if m := h.pull("stable", registry.Stale); m.Digest != good.Digest {
		t.Errorf("%s is served, of %s", m.Digest, m.Source)
	}
	if e := h.pullError(second.String()); e.Status != http.StatusForbidden {
		t.Errorf("by digest: %v", e)
	}
	detail, err := h.View.Repository(t.Context(), testRepo.String())
	if err != nil || !strings.Contains(detail.Tags[0].Refused, s.Public().ID()) {
		t.Errorf("operators are told of %+v, %v", detail, err)
	}
	s.sign(t, h.up, second)
	h.clock.advance(2 * time.Minute)
	if m := h.pull("stable", registry.Rechunked); m.Source != second {
		t.Errorf("%s is served, of %s", m.Digest, m.Source)
	}
}

// A tag that goes back to an earlier image stays until an operator says that this is right.
func TestRollback(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	var images []digest.Digest
	for _, content := range []string{"one", "two", "three"} {
		d := bootable(t, content).push(t, h.up)
		s.sign(t, h.up, d)
		h.up.tag("stable", d)
		h.refresh()
		h.pull("stable", registry.Rechunked)
		images = append(images, d)
	}
	if _, err := h.Tags.Release(t.Context(), testRepo, "stable"); err == nil {
		t.Error("there is nothing to release, and it was released")
	}
	h.up.tag("stable", images[0])
	for range 2 {
		h.refresh()
		if m := h.pull("stable", registry.Stale); m.Source != images[2] {
			t.Errorf("%s is served", m.Source)
		}
		h.clock.advance(time.Hour)
	}
	h.pull("stable", registry.Stale)
	if d, err := h.Tags.Release(t.Context(), testRepo, "stable"); err != nil || d != images[0] {
		t.Errorf("released %s, %v", d, err)
	}
	if m := h.pull("stable", registry.Rechunked); m.Source != images[0] {
		t.Errorf("%s is served after the release", m.Source)
	}
}

// A release is for one image. What is newer than that needs none, whether the tag stood for it before or not; what is older
// does, and so does the released image once the tag has moved on.
func TestAfterARelease(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	h := newHarness(t, verifying(s.file))
	image := func(content string) digest.Digest {
		d := bootable(t, content).push(t, h.up)
		s.sign(t, h.up, d)
		return d
	}
	one, two, three, four := image("one"), image("two"), image("three"), image("four")
	move := func(to, want digest.Digest) {
		t.Helper()
		h.up.tag("stable", to)
		h.clock.advance(time.Hour)
		served := registry.Rechunked
		if to != want {
			served = registry.Stale
		}
		if m := h.pull("stable", served); m.Source != want {
			t.Errorf("%s is served, want %s", m.Source, want)
		}
	}
	release := func(to digest.Digest) {
		t.Helper()
		if d, err := h.Tags.Release(t.Context(), testRepo, "stable"); err != nil || d != to {
			t.Errorf("released %s, %v", d, err)
		}
	}
	move(one, one)
	move(two, two)
	move(three, three)
	move(two, three)
	release(two)
	move(two, two)
	move(one, two)     // older than what was released
	move(three, three) // newer, and seen before
	move(two, three)   // the release was for once
	move(four, four)
	move(three, four)
	release(three)
	move(four, four) // the upstream changed its mind before anybody pulled
	move(three, four)
	release(three)
	move(three, three)
	h.restart()
	move(two, three)
	five := image("five")
	move(five, five)
	move(three, five)
	move(four, five) // newer than what was released once, and older than this
}

// Keys that change are heeded at once, by tag and by digest, in memory and in records.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(before.file))
	src := bootable(t, "one").push(t, h.up)
	before.sign(t, h.up, src)
	h.up.tag("stable", src)
	served := h.pull("stable", registry.Rechunked)
	h.rule.Verify.Keys = []string{before.file, after.file}
	h.pull("stable", registry.Rechunked)
	h.rule.Verify.Keys = []string{after.file}
	for _, ref := range []string{"stable", src.String(), served.Digest.String()} {
		if e := h.pullError(ref); e.Status != http.StatusForbidden || !strings.Contains(e.Message, after.Public().ID()) {
			t.Errorf("%s: %v", ref, e)
		}
	}
	after.sign(t, h.up, src)
	h.clock.advance(time.Hour)
	for _, ref := range []string{"stable", served.Digest.String()} {
		if m := h.pull(ref, registry.Rechunked); m.Digest != served.Digest {
			t.Errorf("%s is served", m.Digest)
		}
	}
	h.restart()
	h.pull("stable", registry.Rechunked)
	// An upstream that is away is no way around keys that have changed.
	h.rule.Verify.Keys = []string{before.file}
	h.up.failWith("", http.StatusServiceUnavailable)
	if e := h.pullError("stable"); e.Status < http.StatusInternalServerError {
		t.Errorf("%v", e)
	}
}

// A signature of an index is one of all that it names; images that are signed one by one do for an index that is not.
func TestSignedIndexes(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for what, c := range map[string]struct {
		sign    func(h *harness, index, amd, arm digest.Digest)
		refused bool
	}{
		"index":    {sign: func(h *harness, index, _, _ digest.Digest) { s.sign(t, h.up, index) }},
		"images":   {sign: func(h *harness, _, amd, arm digest.Digest) { s.sign(t, h.up, amd); s.sign(t, h.up, arm) }},
		"one only": {sign: func(h *harness, _, amd, _ digest.Digest) { s.sign(t, h.up, amd) }, refused: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(s.file))
			amd, arm := bootable(t, "amd").push(t, h.up), bootable(t, "arm").with(arch("arm64")).push(t, h.up)
			src := pushIndex(t, h.up, ocispec.MediaTypeImageIndex,
				[]any{h.up.member(amd, "linux/amd64"), h.up.member(arm, "linux/arm64")})
			c.sign(h, src, amd, arm)
			h.up.tag("stable", src)
			if c.refused {
				if e := h.pullError("stable"); e.Status != http.StatusForbidden ||
					!strings.Contains(e.Message, "linux/arm64") {
					t.Errorf("%v", e)
				}
				return
			}
			m := h.pull("stable", registry.Rechunked)
			idx, err := image.ParseIndex(m.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			for _, child := range idx.Images(nil) {
				h.pull(child.Digest.String(), registry.Rechunked)
			}
			for _, d := range []digest.Digest{src, amd, arm} {
				h.pull(d.String(), registry.Original)
			}
		})
	}
}

func verdictKey(d digest.Digest) catalog.ContentKey {
	return catalog.ContentKey{Repository: testRepo.String(), Digest: d}
}

// everything is all that the store and the metrics hold.
func (h *harness) everything() string {
	h.t.Helper()
	var all strings.Builder
	var walk func(dir string)
	walk = func(dir string) {
		names, err := h.driver.List(h.t.Context(), dir)
		if err != nil {
			b, err := h.driver.GetContent(h.t.Context(), dir)
			if err == nil {
				all.Write(b)
			}
			return
		}
		for _, n := range names {
			walk(n)
		}
	}
	walk("/")
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		all.WriteString(f.String())
	}
	if all.Len() < 1000 {
		h.t.Errorf("only %d bytes were found", all.Len())
	}
	return all.String()
}

// A tag that was never good is listed as refused with the reason, also by the next process, until it is good or nobody asks
// for signatures any longer; so is one whose image a new key has not signed.
func TestRefusedTagsAreListed(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	h := newHarness(t, verifying(s.file))
	first := bootable(t, "one").push(t, h.up)
	h.up.tag("stable", first)
	h.pullError("stable")
	listed := func(key *signer, source digest.Digest) {
		t.Helper()
		all, err := h.View.Repositories(t.Context())
		if err != nil || len(all) != 1 || len(all[0].Tags) != 1 {
			t.Fatalf("operators see %+v, %v", all, err)
		}
		tag := all[0].Tags[0]
		if tag.Served != operate.Refused || !strings.Contains(tag.Refused, key.Public().ID()) ||
			tag.SourceDigest != source.String() || strings.Contains(tag.Refused, "\n") {
			t.Errorf("listed as %+v", tag)
		}
		one, err := h.View.Repository(t.Context(), testRepo.String()+":stable")
		if err != nil || one.Tags[0].Refused != tag.Refused {
			t.Errorf("by its name: %+v, %v", one, err)
		}
	}
	gone := func(want registry.Served) {
		t.Helper()
		detail, err := h.View.Repository(t.Context(), testRepo.String())
		if err != nil || len(detail.Tags) != 1 || detail.Tags[0].Refused != "" || detail.Tags[0].Served != string(want) {
			t.Errorf("operators see %+v, %v", detail, err)
		}
	}
	listed(s, first)
	h.restart()
	listed(s, first)
	second := bootable(t, "two").push(t, h.up)
	h.up.tag("stable", second)
	h.pullError("stable")
	listed(s, second)

	s.sign(t, h.up, second)
	h.clock.advance(time.Hour)
	h.pull("stable", registry.Rechunked)
	gone(registry.Rechunked)

	h.rule.Verify.Keys = []string{next.file}
	h.clock.advance(time.Hour)
	h.pullError("stable")
	listed(next, second)
	h.rule.Verify.Keys = nil
	gone(registry.Rechunked)
	h.rule.Verify.Keys = []string{next.file}
	gone(registry.Rechunked) // until somebody pulls
	h.pullError("stable")
	listed(next, second)
	next.sign(t, h.up, second)
	h.clock.advance(time.Hour)
	h.pull("stable", registry.Rechunked)
	gone(registry.Rechunked)
}

// What is remembered of refused tags is bounded, whatever an upstream has and clients ask for.
func TestRefusedTagsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t, verifying(newSigner(t).file))
	src := bootable(t, "one").push(t, h.up)
	for i := range 130 {
		tag := fmt.Sprintf("v%d", i)
		h.up.tag(tag, src)
		h.pullError(tag)
	}
	detail, err := h.View.Repository(t.Context(), testRepo.String())
	if err != nil || len(detail.Tags) != 100 {
		t.Fatalf("%d tags are listed, %v", len(detail.Tags), err)
	}
	h.clock.advance(8 * 24 * time.Hour) // and nobody asks
	if detail, err = h.View.Repository(t.Context(), testRepo.String()); err != nil || len(detail.Tags) != 0 {
		t.Errorf("%d tags are listed, %v", len(detail.Tags), err)
	}
}
