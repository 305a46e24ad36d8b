package ocidelta_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
)

func of(s string) digest.Digest { return digest.FromString(s) }

func blob(mediaType, content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: of(content), Size: int64(len(content))}
}

func sample(artifactType string) *ocidelta.Artifact {
	return &ocidelta.Artifact{
		Type: artifactType, Target: blob(ocispec.MediaTypeImageManifest, "manifest"),
		Config: blob(ocispec.MediaTypeImageConfig, "config"), Source: of("old"), SourceConfig: of("old config"),
		Inert: true,
		Layers: []ocidelta.Layer{
			{To: of("layer 1"), Blob: blob(ocidelta.MediaType(artifactType), "delta"), Encoder: "klauspost/compress v1"},
			{To: of("layer 2"), Blob: blob(ocispec.MediaTypeImageLayerZstd, "layer 2")},
		},
		Reused: []ocidelta.Reused{{Blob: of("layer 0"), DiffID: of("tar 0")}},
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	for artifactType, mediaType := range map[string]string{ocidelta.TypeTarDiff: tardiff.MediaType,
		ocidelta.TypeStrata: delta.MediaType} {
		want := sample(artifactType)
		raw, err := want.Manifest()
		if err != nil || !strings.Contains(string(raw), mediaType) {
			t.Fatalf("%s, %v", raw, err)
		}
		got, err := ocidelta.Parse(raw)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got\n%s", err, diff)
		}
		if got.Layers[0].Whole() || !got.Layers[1].Whole() {
			t.Errorf("%+v", got.Layers)
		}
	}
}

func TestParseHostile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(m *ocispec.Manifest){
		"another type":     func(m *ocispec.Manifest) { m.ArtifactType = "application/vnd.other" },
		"no target":        func(m *ocispec.Manifest) { m.Layers = m.Layers[1:] },
		"two targets":      func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) },
		"no config":        func(m *ocispec.Manifest) { m.Layers = m.Layers[:1] },
		"another subject":  func(m *ocispec.Manifest) { m.Subject.Digest = of("x") },
		"no source":        func(m *ocispec.Manifest) { delete(m.Annotations, "io.github.containers.delta.source-config") },
		"a strange source": func(m *ocispec.Manifest) { m.Annotations["io.github.containers.delta.source"] = "../x" },
		"a layer twice":    func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[2]) },
		"a layer for none": func(m *ocispec.Manifest) { m.Layers[2].Annotations["io.github.containers.delta.to"] = "x" },
		"another format":   func(m *ocispec.Manifest) { m.Layers[2].MediaType = delta.MediaType },
		"a large document": func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 40 },
		"a strange digest": func(m *ocispec.Manifest) { m.Layers[2].Digest = "sha256:x" },
		"another digest": func(m *ocispec.Manifest) {
			m.Layers[2].Digest = digest.Digest("sha512:" + strings.Repeat("0", 128))
		},
		"a negative size": func(m *ocispec.Manifest) { m.Layers[2].Size = -1 },
		"a long encoder": func(m *ocispec.Manifest) {
			m.Layers[2].Annotations["io.github.strata-oci.delta.encoder"] = strings.Repeat("x", 300)
		},
		"no list":   func(m *ocispec.Manifest) { m.Annotations["io.github.containers.delta.reused"] = "{}" },
		"no digest": func(m *ocispec.Manifest) { m.Annotations["io.github.containers.delta.reused"] = `["x"]` },
		"many layers": func(m *ocispec.Manifest) {
			for i := range 2000 {
				d := m.Layers[2]
				d.Annotations = map[string]string{"io.github.containers.delta.content": "image-layer",
					"io.github.containers.delta.to": of(fmt.Sprint(i)).String()}
				m.Layers = append(m.Layers, d)
			}
		},
	} {
		raw, err := sample(ocidelta.TypeTarDiff).Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		change(&m)
		raw, err = json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ocidelta.Parse(raw); !errors.Is(err, ocidelta.ErrInvalid) || len(err.Error()) > 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ocidelta.Parse([]byte("no JSON")); !errors.Is(err, ocidelta.ErrInvalid) {
		t.Error(err)
	}
}

// What others put into an artifact, such as signatures, is passed over; what is missing and not needed, too.
func TestParseOthers(t *testing.T) {
	t.Parallel()
	raw, err := sample(ocidelta.TypeTarDiff).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	signature := blob(ocispec.MediaTypeImageManifest, "signature")
	signature.Annotations = map[string]string{"io.github.containers.delta.content": "cosign-signature"}
	m.Layers, m.Subject, m.MediaType = append(m.Layers, signature), nil, ""
	delete(m.Annotations, "io.github.containers.delta.reused")
	delete(m.Annotations, "io.github.containers.delta.source")
	if raw, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	a, err := ocidelta.Parse(raw)
	if err != nil || len(a.Layers) != 2 || len(a.Reused) != 0 || a.Source != "" {
		t.Errorf("%+v, %v", a, err)
	}
}

// What is read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, artifactType := range []string{ocidelta.TypeTarDiff, ocidelta.TypeStrata} {
		raw, err := sample(artifactType).Manifest()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := ocidelta.Parse(raw)
		if err != nil {
			return
		}
		again, err := a.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ocidelta.Parse(again); err != nil {
			t.Error(err)
		}
	})
}

// An artifact says what each layer of the new image is made of.
func ExampleParse() {
	raw, err := sample(ocidelta.TypeTarDiff).Manifest()
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := ocidelta.Parse(raw)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range a.Layers {
		fmt.Println(l.Whole(), l.Blob.MediaType)
	}
	fmt.Println(len(a.Reused), "reused")
	// Output:
	// false application/vnd.tar-diff
	// true application/vnd.oci.image.layer.v1.tar+zstd
	// 1 reused
}
