package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/programtest"
	"github.com/strata-oci/strata/proxy/registry/registrytest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// artifact makes an OCI artifact with one blob that is no layer.
func artifact(u *upstream, repository, artifactType string, subject *ocispec.Descriptor) document {
	u.tb.Helper()
	empty := u.blob(repository, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	return marshal(u.tb, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: empty, Layers: []ocispec.Descriptor{u.blob(repository, "application/x-something", []byte("not a layer"))},
		Subject: subject,
	})
}

// TestImagesThatAreNotTouched pulls what must reach clients byte by byte.
func TestImagesThatAreNotTouched(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	sources := map[string]document{}
	plain := series(false)[0]
	plain.labels = nil
	sources["plain"] = u.push("os/image:plain", plain)
	sealed := sourceImage{labels: series(false)[0].labels, layers: [][]byte{treetest.Gzip(t, treetest.Tar(t,
		treetest.Dir("boot"), treetest.Dir("boot/EFI"), treetest.Dir("boot/EFI/Linux"),
		treetest.File("boot/EFI/Linux/linux.efi", "sealed")))}}
	sources["sealed"] = u.push("os/image:sealed", sealed)
	sources["artifact"] = artifact(u, "os/image", "application/vnd.example.thing", nil)
	u.put("os/image:artifact", sources["artifact"])
	sources["foreign"] = foreign(u, "os/image")
	u.put("os/image:foreign", sources["foreign"])
	broken := sourceImage{labels: series(false)[0].labels, layers: [][]byte{treetest.Gzip(t, []byte("this is no archive"))}}
	sources["broken"] = u.push("os/image:broken", broken)

	p := newProxy(t, u, proxyOptions{})
	never := newProxy(t, u, proxyOptions{rule: "rechunk: never"})
	for tag, source := range sources {
		if got := p.wantManifest("os/image/manifests/"+tag, http.StatusOK, "original"); got != source.digest() {
			t.Errorf("%s is served as %s, want %s", tag, got, source.digest())
		}
	}
	// A failure is the one thing that is reported.
	if failed := p.Log.Find(func(l programtest.Line) bool { return l["level"] == "ERROR" }); len(failed) != 1 {
		t.Errorf("%d errors are logged, want that of the broken image alone: %v", len(failed), failed)
	}
	v1 := u.push("os/image:v1", series(false)[0])
	if got := never.wantManifest("os/image/manifests/v1", http.StatusOK, "original"); got != v1.digest() {
		t.Errorf("with rechunk: never, %s is served, want %s", got, v1.digest())
	}
	always := newProxy(t, u, proxyOptions{rule: "rechunk: always"})
	always.wantManifest("os/image/manifests/plain", http.StatusOK, "rechunked")
}

// foreign makes a bootable image with a layer that lies elsewhere.
func foreign(u *upstream, repository string) document {
	u.tb.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(series(false)[0].upload(u, repository).raw, &m); err != nil {
		u.tb.Fatal(err)
	}
	//lint:ignore SA1019 deprecated, and still in registries
	m.Layers[0].MediaType = ocispec.MediaTypeImageLayerNonDistributableGzip
	m.Layers[0].URLs = []string{"https://elsewhere.example/layer"}
	return marshal(u.tb, m.MediaType, m)
}

// pushIndex stores an image for three platforms and an attestation as one index, and returns that and its entries.
func pushIndex(u *upstream, image string) (document, []ocispec.Descriptor) {
	u.tb.Helper()
	img := series(false)[0]
	repository := u.reference(image).Context().RepositoryStr()
	var entries []ocispec.Descriptor
	add := func(m document, p ocispec.Platform, annotations map[string]string) {
		u.put(repository+"@"+m.digest().String(), m)
		d := m.descriptor()
		d.Platform, d.Annotations = &p, annotations
		entries = append(entries, d)
	}
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		img.architecture = arch
		add(img.upload(u, repository), ocispec.Platform{OS: "linux", Architecture: arch},
			map[string]string{"org.example.arch": arch})
	}
	add(artifact(u, repository, "application/vnd.example.attestation", nil),
		ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		map[string]string{"vnd.docker.reference.type": "attestation-manifest",
			"vnd.docker.reference.digest": entries[0].Digest.String()})
	index := marshal(u.tb, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries,
		Annotations: map[string]string{"org.example": "kept"},
	})
	u.put(image, index)
	return index, entries
}

// TestIndexKeepsWhatIsNotConfigured pulls an index of several platforms and an attestation.
func TestIndexKeepsWhatIsNotConfigured(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	source, entries := pushIndex(u, "os/image:multi")
	p := newProxy(t, u, proxyOptions{rule: "platforms: [linux/amd64, linux/arm64]"})
	resp := p.get("os/image/manifests/multi")
	raw, _ := body(t, resp)
	if got := resp.Header.Get("Strata-Source-Digest"); got != source.digest().String() {
		t.Errorf("Strata-Source-Digest %q, want %s", got, source.digest())
	}
	var served ocispec.Index
	if err := json.Unmarshal(raw, &served); err != nil {
		t.Fatal(err)
	}
	if len(served.Manifests) != len(entries) || served.Annotations["org.example"] != "kept" ||
		served.MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("served index: %s", raw)
	}
	for i, e := range entries {
		got := served.Manifests[i]
		if rechunked := i < 2; rechunked {
			if got.Digest == e.Digest {
				t.Errorf("%s was not replaced", e.Platform.Architecture)
			}
			p.wantManifest("os/image/manifests/"+got.Digest.String(), http.StatusOK, "rechunked")
			got.Digest, got.Size = e.Digest, e.Size
		}
		if of := got.Annotations["vnd.docker.reference.digest"]; of != "" { // an attestation follows what it is of
			if of != served.Manifests[0].Digest.String() {
				t.Errorf("the attestation is of %s", of)
			}
			got.Annotations["vnd.docker.reference.digest"] = entries[0].Digest.String()
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("entry %d (-source +served):\n%s", i, diff)
		}
		p.wantManifest("os/image/manifests/"+e.Digest.String(), http.StatusOK, "original")
	}
	checkLayers(t, p.image("os/image:multi"), "application/vnd.oci.image.layer.v1.tar+zstd")
}

// TestProtocolConformance runs the protocol's checks on the whole proxy.
func TestProtocolConformance(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	source := u.push("os/image:plain", series(false)[0])
	p := newProxy(t, u, proxyOptions{rule: "rechunk: never"})
	var m ocispec.Manifest
	if err := json.Unmarshal(source.raw, &m); err != nil {
		t.Fatal(err)
	}
	registrytest.Run(t, registrytest.Fixture{
		URL: "http://" + p.Clients, Repository: upstreamHost + "/os/image", Tag: "plain",
		Manifest: registrytest.Object{MediaType: source.mediaType, Bytes: source.raw},
		Blob:     registrytest.Object{Bytes: series(false)[0].layers[1]}, Catalog: true,
	})
}
