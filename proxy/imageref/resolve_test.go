package imageref

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

func TestParsePlatform(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "linux/" + runtime.GOARCH, "linux/arm64": "linux/arm64", "linux/arm64/v8": "linux/arm64",
		"linux/arm/v7": "linux/arm/v7", "linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
	} {
		if got, err := parsePlatform(in); err != nil || got.String() != want {
			t.Errorf("parsePlatform(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"linux", "linux/", "/arm64", "a/b/c/d", "linux//v8", "Linux/amd64", "linux/arm64 "} {
		if _, err := parsePlatform(in); err == nil {
			t.Errorf("parsePlatform(%q): no error", in)
		}
	}
}

func entry(d digest.Digest, size int, plat string) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(size)}
	if parts := strings.Split(plat, "/"); len(parts) >= 2 {
		desc.Platform = &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
		if len(parts) == 3 {
			desc.Platform.Variant = parts[2]
		}
	}
	return desc
}

func indexOf(t testing.TB, descs ...ocispec.Descriptor) []byte {
	t.Helper()
	index := emptyIndex()
	index.Manifests = append(index.Manifests, descs...)
	return mustJSON(t, index)
}

func TestChoosePlatform(t *testing.T) {
	t.Parallel()
	docs := make(map[digest.Digest][]byte)
	fetch := func(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
		if raw, ok := docs[d.Digest]; ok {
			return raw, nil
		}
		return nil, ErrNotFound
	}
	image := func(name, plat string) ocispec.Descriptor {
		img := makeImage(t, name)
		docs[img.digest()] = img.manifest
		return entry(img.digest(), len(img.manifest), plat)
	}
	nested := func(descs ...ocispec.Descriptor) ocispec.Descriptor {
		raw := indexOf(t, descs...)
		d := digest.FromBytes(raw)
		docs[d] = raw
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(raw))}
	}
	amd, amd3, arm := image("a", "linux/amd64"), image("b", "linux/amd64/v3"), image("c", "linux/arm64/v8")
	attestation, bare := image("d", "unknown/unknown"), image("e", "")
	tests := []struct {
		name  string
		index []ocispec.Descriptor
		want  string
		found digest.Digest
		err   string
	}{
		{"baseline first", []ocispec.Descriptor{amd3, amd}, "linux/amd64", amd.Digest, ""},
		{"any variant", []ocispec.Descriptor{amd3, arm}, "linux/amd64", amd3.Digest, ""},
		{"exact variant", []ocispec.Descriptor{amd, amd3}, "linux/amd64/v3", amd3.Digest, ""},
		{"no such variant", []ocispec.Descriptor{amd}, "linux/amd64/v3", "", "there is linux/amd64;"},
		{"arm64 is v8", []ocispec.Descriptor{amd, arm}, "linux/arm64", arm.Digest, ""},
		{"missing", []ocispec.Descriptor{attestation, arm, amd}, "linux/s390x", "", "there is linux/amd64, linux/arm64;"},
		{"attestations only", []ocispec.Descriptor{attestation}, "linux/amd64", "", "lists no platforms"},
		{"nobody says for what", []ocispec.Descriptor{bare}, "linux/s390x", bare.Digest, ""},
		{"nested", []ocispec.Descriptor{nested(arm), nested(nested(amd))}, "linux/amd64", amd.Digest, ""},
		{"nested and missing", []ocispec.Descriptor{nested(arm), amd}, "linux/s390x", "",
			"there is linux/amd64, linux/arm64;"},
		{"too deep", []ocispec.Descriptor{nested(nested(nested(nested(nested(amd)))))}, "linux/amd64", "",
			"more than 4 deep"},
		{"empty", nil, "linux/amd64", "", "lists no platforms"},
		{"large", []ocispec.Descriptor{entry(amd.Digest, maxManifest+1, "linux/amd64")}, "linux/amd64", "", "the limit is"},
		{"no digest", []ocispec.Descriptor{entry("../../etc/passwd", 1, "linux/amd64")}, "linux/amd64", "", "digest"},
	}
	for _, tc := range tests {
		want, err := parsePlatform(tc.want)
		if err != nil {
			t.Fatal(err)
		}
		r := resolver{want: want, fetch: fetch}
		m, err := r.image(t.Context(), ocispec.MediaTypeImageIndex, indexOf(t, tc.index...))
		if tc.err != "" {
			wantError(t, err, tc.err)
		} else if err != nil || m.digest != tc.found {
			t.Errorf("%s: %s, %v; want %s", tc.name, m.digest, err, tc.found)
		}
	}
}

func TestResolveIsBounded(t *testing.T) {
	t.Parallel()
	var many []ocispec.Descriptor
	for i := range 1000 {
		d := entry(digest.FromString(fmt.Sprint(i)), 10, "")
		d.MediaType = ocispec.MediaTypeImageIndex
		many = append(many, d)
	}
	empty := indexOf(t)
	reads := 0
	r := resolver{want: platform{os: "linux", arch: "amd64"},
		fetch: func(context.Context, ocispec.Descriptor) ([]byte, error) {
			reads++
			return empty, nil
		}}
	_, err := r.image(t.Context(), ocispec.MediaTypeImageIndex, indexOf(t, many...))
	if !errors.Is(err, ErrTooLarge) || reads > maxIndexReads {
		t.Errorf("%d reads, error %v", reads, err)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const oci, index = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	image := `{"schemaVersion":2,"config":{},"layers":[]}`
	tests := []struct{ declared, raw, err string }{
		{oci, image, ""},
		{oci + "; charset=utf-8", image, ""},
		{"application/json", `{"schemaVersion":2,"mediaType":"` + oci + `","config":{}}`, ""},
		{"", `{"schemaVersion":2,"mediaType":"` + index + `","manifests":[]}`, ""},
		{"application/vnd.docker.distribution.manifest.v2+json", image, ""},
		{index, `{"schemaVersion":2}`, "without manifests"},
		{"text/plain", image, "neither an image nor an index"},
		{"", `{"schemaVersion":2,"mediaType":"x/y"}`, "neither an image nor an index"},
		{index, `{"schemaVersion":2,"mediaType":"` + oci + `"}`, "calls itself"},
		{oci, `{"schemaVersion":2,"config":{},"manifests":[]}`, "lists manifests"},
		{oci, `{"schemaVersion":2}`, "lacks a config"},
		{index, `{"schemaVersion":2,"manifests":[],"layers":[]}`, "has a config or layers"},
		{oci, `{"schemaVersion":1,"config":{}}`, "schema version 1"},
		{oci, `{"schemaVersion":2,"config":{},"layers":[],"Layers":[]}`, `names "Layers" twice`},
		{oci, `{"schemaVersion":2,"config":{},"layers":[{"digest":"sha256:x"}]}`, "layer digest"},
		{index, `{"schemaVersion":2,"manifests":[],"Manifests":[]}`, `names "Manifests" twice`},
		{index, `{"schemaVersion":1,"manifests":[]}`, "schema version 1"},
		{oci, `{`, "not valid JSON"},
		{oci, strings.Repeat(" ", maxManifest+1), "more than 4194304 bytes"},
	}
	for _, tc := range tests {
		m, _, err := identify(tc.declared, []byte(tc.raw))
		if tc.err != "" {
			wantError(t, err, tc.err)
		} else if err != nil || m.digest != digest.FromString(tc.raw) {
			t.Errorf("%s %s: %v, %v", tc.declared, tc.raw, m.digest, err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, makeImage(f, "x").manifest)
	f.Add(ocispec.MediaTypeImageIndex, indexOf(f, entry(digest.FromString("x"), 1, "linux/amd64")))
	f.Add("", []byte(`{"schemaVersion":2}`))
	f.Fuzz(func(t *testing.T, declared string, raw []byte) {
		m, doc, err := identify(declared, raw)
		if err != nil {
			return
		}
		if image.IsManifest(m.mediaType) == image.IsIndex(m.mediaType) ||
			image.IsManifest(m.mediaType) != (doc.Manifest != nil) {
			t.Errorf("ambiguous: %s %q", m.mediaType, raw)
		}
	})
}
