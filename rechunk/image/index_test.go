package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func digestOf(n int) string { return digest.FromString(fmt.Sprint(n)).String() }

// multi has two platforms, one of them by Docker's type, an attestation, an artifact and a nested index.
var multi = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s,%s,%s,%s,%s,%s],"annotations":{"a":"b"},"x":{"y":1}}`, DockerManifestList,
	descriptor(ociType, digestOf(1), `,"platform":{"os":"linux","architecture":"amd64","os.version":"1"},"annotations":{"k":"v"},`+
		`"Data":"YQ==","urls":["u"],"z":[1.50]`),
	descriptor(DockerManifest, digestOf(2), `,"artifactType":"application/vnd.oci.image.config.v1+json",`+
		`"platform":{"os":"linux","architecture":"arm64","variant":"v8"}`),
	descriptor(ociType, digestOf(3), `,"platform":{"os":"unknown","architecture":"unknown"},`+
		`"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`),
	descriptor(ociType, digestOf(4), `,"artifactType":"a/b","platform":{"os":"linux","architecture":"amd64"}`),
	descriptor(ocispec.MediaTypeImageIndex, digestOf(5), `,"platform":{"os":"linux","architecture":"amd64"}`),
	descriptor(ociType, digestOf(1), `,"platform":{"os":"linux","architecture":"amd64"}`))

func mustIndex(t *testing.T, doc string) *Index {
	t.Helper()
	x, err := ParseIndex([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestImages(t *testing.T) {
	t.Parallel()
	amd := Child{digest.Digest(digestOf(1)), ociType, "linux/amd64"}
	arm := Child{digest.Digest(digestOf(2)), DockerManifest, "linux/arm64"}
	for patterns, want := range map[string][]Child{
		"": {amd, arm}, "linux/amd64": {amd}, "linux/arm64": {arm}, "linux/arm64/v8": {arm}, "linux/s390x": nil,
		"linux/arm64,linux/amd64": {amd, arm},
	} {
		var list []string
		if patterns != "" {
			list = strings.Split(patterns, ",")
		}
		if diff := cmp.Diff(want, mustIndex(t, multi).Images(list)); diff != "" {
			t.Errorf("%q: %s", patterns, diff)
		}
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	served := Document{MediaType: ociType, Digest: digest.Digest(digestB), Bytes: []byte("12345")}
	got, err := mustIndex(t, multi).Replace(map[digest.Digest]Document{
		digest.Digest(digestOf(1)): served, digest.Digest(digestOf(9)): {Digest: digestA},
	})
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	mustUnmarshal(t, []byte(multi), &before)
	mustUnmarshal(t, got.Bytes, &after)
	before["mediaType"] = ocispec.MediaTypeImageIndex
	children := before["manifests"].([]any)
	for _, i := range []int{0, 5} {
		child := children[i].(map[string]any)
		child["digest"], child["size"] = digestB, 5.0
		delete(child, "Data")
		delete(child, "urls")
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !strings.Contains(string(got.Bytes), "1.50") {
		t.Error("a number is written in another way")
	}
	if got.Digest != digest.FromBytes(got.Bytes) || got.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("%s %s", got.MediaType, got.Digest)
	}
}

func TestParseIndexRefuses(t *testing.T) {
	t.Parallel()
	child := descriptor(ociType, digestA, "")
	for name, doc := range map[string]string{
		"nothing": ``, "null": `null`, "no object": `[]`, "no manifests": `{}`,
		"manifests are an object": `{"manifests":{}}`,
		"null child":              `{"manifests":[null]}`, "child is text": `{"manifests":["x"]}`,
		"child without digest": `{"manifests":[{}]}`,
		"manifests twice":      `{"manifests":[` + child + `],"Manifests":[]}`,
		"digest twice":         `{"manifests":[` + descriptor(ociType, digestA, `,"Digest":"`+digestB+`"`) + `]}`,
		"negative size":        `{"manifests":[` + strings.Replace(child, ":7", ":-7", 1) + `]}`,
		"many":                 `{"manifests":[` + strings.Repeat(child+",", MaxChildren) + child + `]}`,
		"large":                `{"manifests":[],"x":"` + strings.Repeat("x", MaxDocument) + `"}`,
		"deep":                 `{"manifests":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
		"something follows":    `{"manifests":[]}{}`,
	} {
		if _, err := ParseIndex([]byte(doc)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, doc := range []string{`{"manifests":null}`, `{"manifests":[]}`} {
		if x, err := ParseIndex([]byte(doc)); err != nil || len(x.Images(nil)) != 0 {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestIsIndex(t *testing.T) {
	t.Parallel()
	for mediaType, want := range map[string]bool{
		ocispec.MediaTypeImageIndex: true, DockerManifestList: true, ociType: false, DockerManifest: false, "": false,
	} {
		if IsIndex(mediaType) != want {
			t.Errorf("%q: %t", mediaType, !want)
		}
	}
}

// FuzzIndex: replacing the images of any index that is accepted gives one that is accepted, with as many manifests, the
// replaced ones in their places.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(multi))
	f.Add([]byte(`{"manifests":[` + descriptor(ociType, digestA, `,"platform":{"OS":"linux"}`) + `],"Mediatype":null}`))
	f.Add([]byte(`{"manifests":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		x, err := ParseIndex(doc)
		if err != nil {
			return
		}
		with := map[digest.Digest]Document{}
		for _, c := range x.Images(nil) {
			with[c.Digest] = Document{MediaType: ociType, Digest: digestB, Bytes: []byte("12345")}
		}
		got, err := x.Replace(with)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Bytes) > MaxDocument {
			return
		}
		y, err := ParseIndex(got.Bytes)
		if err != nil {
			t.Fatalf("%v\n%s", err, got.Bytes)
		}
		if len(x.parsed) != len(y.parsed) {
			t.Fatalf("%d manifests of %d", len(y.parsed), len(x.parsed))
		}
		for i, d := range x.parsed {
			if _, ok := with[d.Digest]; ok &&
				(y.parsed[i].Digest != digestB || y.parsed[i].Size != 5 || y.parsed[i].Data != nil) {
				t.Errorf("manifest %d: %+v", i, y.parsed[i])
			}
		}
	})
}

// FuzzManifest: a manifest that is accepted has layers that can be fetched and told apart.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest("", layerOf(ocispec.MediaTypeImageLayerGzip))))
	f.Add([]byte(multi))
	f.Add([]byte(`{"schemaVersion":2,"layers":null,"Layers":[]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := ParseManifest(doc)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrPassThrough) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, l := range append(m.Layers, m.Config) {
			if l.Digest.Validate() != nil || l.Size < 0 {
				t.Errorf("%+v", l)
			}
		}
	})
}

// What is attested of a replaced manifest is found at the one in its place; other annotations and attestations stay.
func TestAttestationsFollow(t *testing.T) {
	t.Parallel()
	attests := func(n, of int) string {
		return descriptor(ociType, digestOf(n), `,"annotations":{"vnd.docker.reference.type":"attestation-manifest",`+
			`"vnd.docker.reference.digest":"`+digestOf(of)+`","x":"y"}`)
	}
	doc := `{"schemaVersion":2,"manifests":[` + descriptor(ociType, digestOf(1), "") + `,` + attests(11, 1) + `,` +
		attests(12, 2) + `]}`
	got, err := mustIndex(t, doc).Replace(map[digest.Digest]Document{
		digest.Digest(digestOf(1)): {MediaType: ociType, Digest: digest.Digest(digestB), Bytes: []byte("1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	mustUnmarshal(t, got.Bytes, &index)
	for i, want := range []string{1: digestB, 2: digestOf(2)} {
		if a := index.Manifests[i].Annotations; i > 0 &&
			(a["vnd.docker.reference.digest"] != want || a["x"] != "y" || len(a) != 3) {
			t.Errorf("manifest %d: %v, want %s", i, a, want)
		}
	}
}

// A layout's index may hold more than any image's, and keeps all that is not replaced as it was.
func TestLayoutEntries(t *testing.T) {
	t.Parallel()
	entry := descriptor(ociType, digestA, `,"x":1.50`)
	many := `{"y":[2.0],"manifests":[` + strings.Repeat(entry+",", MaxChildren) + entry + `]}`
	x, err := ParseLayout([]byte(many))
	if err != nil {
		t.Fatal(err)
	}
	entries := x.Entries()
	if len(entries) != MaxChildren+1 || len(x.Manifests()) != len(entries) || string(entries[0]) != entry ||
		x.SchemaVersion() != 0 {
		t.Errorf("%d entries, the first %s; version %d", len(entries), entries[0], x.SchemaVersion())
	}
	got, err := x.WithEntries(entries[:1])
	if want := `{"manifests":[` + entry + `],"schemaVersion":2,"y":[2.0]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if got := x.Entries(); len(got) != MaxChildren+1 {
		t.Errorf("the index itself has %d entries now", len(got))
	}
	if _, err := ParseLayout([]byte(`{"manifests":[],"x":"` + strings.Repeat("x", MaxLayoutIndex) + `"}`)); !errors.Is(err,
		ErrInvalid) {
		t.Errorf("large: %v", err)
	}
}
