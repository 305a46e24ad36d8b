package oci_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	indexType    = ocispec.MediaTypeImageIndex
	manifestType = ocispec.MediaTypeImageManifest
)

// named is the JSON of a descriptor of a blob with a short name.
func named(name, more string) string {
	return fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":7%s}`, digestOf(name), more)
}

func digestOf(name string) string { return "sha256:" + strings.Repeat(name, 64) }

func TestParse(t *testing.T) {
	t.Parallel()
	manifest := `{"schemaVersion":2,"config":` + named("c", "") + `,"layers":[` + named("a", "") + `]}`
	index := `{"schemaVersion":2,"manifests":[` + named("d", "") + `]}`
	both := `{"schemaVersion":2,"config":` + named("c", "") + `,"layers":[],"manifests":[` + named("d", "") + `]}`
	typed := func(doc, mediaType string) string {
		return strings.Replace(doc, "{", `{"mediaType":"`+mediaType+`",`, 1)
	}
	for name, c := range map[string]struct {
		declared, doc string
		want          string // media type; "": refused
	}{
		"manifest":                      {manifestType, manifest, manifestType},
		"Docker's manifest":             {image.DockerManifest, manifest, image.DockerManifest},
		"index":                         {indexType, index, indexType},
		"Docker's list":                 {image.DockerManifestList, index, image.DockerManifestList},
		"by itself":                     {"", typed(manifest, image.DockerManifest), image.DockerManifest},
		"by its shape":                  {"application/json", index, indexType},
		"empty manifests":               {indexType, `{"manifests":[]}`, indexType},
		"no layers":                     {manifestType, `{"config":` + named("c", "") + `}`, manifestType},
		"manifest declared as an index": {indexType, manifest, ""},
		"index declared as a manifest":  {manifestType, index, ""},
		"both, as a manifest":           {manifestType, both, ""},
		"both, as an index":             {indexType, both, ""},
		"both, undeclared":              {"", both, ""},
		"calls itself an index":         {manifestType, typed(manifest, indexType), ""},
		"calls itself a manifest":       {indexType, typed(index, manifestType), ""},
		"calls itself another":          {manifestType, typed(manifest, image.DockerManifest), ""},
		"layers twice": {manifestType, strings.Replace(manifest, `"layers"`, `"Layers":[],"layers"`, 1),
			""},
		"digest twice in a layer": {manifestType,
			strings.Replace(manifest, `"size":7}]`, `"size":7,"digest":"`+digestOf("b")+`"}]`, 1), ""},
		"digest twice in the config": {manifestType,
			strings.Replace(manifest, `"size":7},`, `"size":7,"Digest":"`+digestOf("b")+`"},`, 1), ""},
		"negative size":                  {manifestType, strings.Replace(manifest, "7", "-7", 1), ""},
		"huge size":                      {manifestType, strings.Replace(manifest, "7", "1099511627777", 1), ""},
		"fractional size":                {manifestType, strings.Replace(manifest, "7", "7.5", 1), ""},
		"size as text":                   {manifestType, strings.Replace(manifest, ":7", `:"7"`, 1), ""},
		"digest of an unknown algorithm": {manifestType, strings.Replace(manifest, "sha256", "md5", 1), ""},
		"sha384": {manifestType,
			strings.Replace(manifest, digestOf("a"), "sha384:"+strings.Repeat("a", 96), 1), ""},
		"layers are an object": {manifestType, `{"config":` + named("c", "") + `,"layers":{}}`, ""},
		"layer is text":        {manifestType, `{"config":` + named("c", "") + `,"layers":["x"]}`, ""},
		"many layers": {manifestType, `{"layers":[` + strings.Repeat(`{},`, image.MaxDescriptors) +
			`{}]}`, ""},
		"many manifests": {indexType, `{"manifests":[` +
			strings.Repeat(named("a", "")+",", image.MaxChildren) + named("a", "") + `]}`, ""},
		"large":                    {manifestType, `{"x":"` + strings.Repeat("x", image.MaxDocument) + `"}`, ""},
		"no JSON":                  {manifestType, `layers`, ""},
		"something follows":        {manifestType, manifest + manifest, ""},
		"subject without a digest": {manifestType, strings.Replace(manifest, "{", `{"subject":{},`, 1), ""},
		"subject": {manifestType,
			strings.Replace(manifest, "{", `{"subject":`+named("e", "")+`,`, 1), manifestType},
		"null fields of the other kind": {manifestType, strings.Replace(manifest, "{", `{"manifests":null,`, 1),
			manifestType},
		"null fields, declared an index": {indexType, strings.Replace(index, "{", `{"layers":null,"config":null,`, 1),
			indexType},
		"unknown fields stay unimportant": {indexType, strings.Replace(index, "{", `{"x":{"layers":[]},`, 1), indexType},
	} {
		doc, err := oci.Parse(c.declared, []byte(c.doc))
		if c.want == "" {
			if !errors.Is(err, image.ErrInvalid) && !errors.Is(err, image.ErrPassThrough) || doc != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || doc.MediaType != c.want || (doc.Index == nil) == (doc.Manifest == nil) ||
			(doc.Index != nil) != image.IsIndex(c.want) {
			t.Errorf("%s: %+v, %v", name, doc, err)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	doc, err := oci.Parse(manifestType, []byte(`{"subject":`+named("e", "")+`,"config":`+named("c", "")+`,"layers":[`+
		named("a", "")+`,`+named("b", `,"urls":["https://elsewhere.test/b"]`)+`,`+named("a", "")+`,`+named("c", "")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	refs := doc.References()
	names := func(list []ocispec.Descriptor) string {
		var s strings.Builder
		for _, d := range list {
			s.WriteByte(d.Digest.Encoded()[0])
		}
		return s.String()
	}
	got := []string{names(refs.Blobs), names(refs.Layers), names(refs.Foreign), names(refs.Manifests),
		string(refs.Config.Digest), string(refs.Subject.Digest)}
	if diff := cmp.Diff([]string{"ca", "a", "b", "", digestOf("c"), digestOf("e")}, got); diff != "" {
		t.Error(diff)
	}
	doc, err = oci.Parse("", []byte(`{"manifests":[`+named("a", "")+`,`+named("b", "")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	if refs := doc.References(); names(refs.Manifests) != "ab" || refs.Blobs != nil || refs.Config != nil {
		t.Errorf("%+v", refs)
	}
}

// FuzzParse: what is accepted is one kind of document, within bounds, and says the same of itself when it is declared as
// what it is.
func FuzzParse(f *testing.F) {
	f.Add("", []byte(`{"manifests":[`+named("a", "")+`]}`))
	f.Add(manifestType, []byte(`{"config":`+named("c", "")+`,"layers":[`+named("b", `,"urls":["x"]`)+`]}`))
	f.Add(indexType, []byte(`{"mediaType":"x","layers":null}`))
	f.Fuzz(func(t *testing.T, declared string, raw []byte) {
		doc, err := oci.Parse(declared, raw)
		if err != nil {
			return
		}
		if (doc.Index == nil) == (doc.Manifest == nil) {
			t.Fatalf("%+v", doc)
		}
		refs := doc.References()
		for _, list := range [][]ocispec.Descriptor{refs.Blobs, refs.Foreign, refs.Manifests} {
			for _, d := range list {
				if d.Digest.Validate() != nil || d.Size < 0 || d.Size > image.MaxBlob {
					t.Errorf("%+v", d)
				}
			}
		}
		if again, err := oci.Parse(doc.MediaType, raw); err != nil || again.MediaType != doc.MediaType {
			t.Errorf("declared as %q: %v", doc.MediaType, err)
		}
	})
}

func ExampleParse() {
	doc, err := oci.Parse("application/vnd.oci.image.manifest.v1+json", []byte(`{
		"schemaVersion": 2,
		"config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 7,
			"digest": "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},
		"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 7, "urls": ["https://elsewhere.test/"],
			"digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	refs := doc.References()
	fmt.Println(len(refs.Blobs), "blob,", len(refs.Foreign), "foreign layer")

	// What could be taken for an index, too, is refused.
	_, err = oci.Parse("", []byte(`{"config": {}, "manifests": []}`))
	fmt.Println(errors.Is(err, image.ErrInvalid))
	// Output:
	// 1 blob, 1 foreign layer
	// true
}
