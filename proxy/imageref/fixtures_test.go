package imageref

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/rechunk/legible"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testImage is a small image as it should be read back.
type testImage struct {
	mediaType string
	manifest  []byte
	blobs     map[digest.Digest][]byte
}

func (i testImage) digest() digest.Digest { return digest.FromBytes(i.manifest) }

// makeImage makes an image of a config and layers with the given contents.
func makeImage(t testing.TB, layers ...string) testImage {
	t.Helper()
	img := testImage{mediaType: ocispec.MediaTypeImageManifest, blobs: make(map[digest.Digest][]byte)}
	add := func(mediaType, content string) ocispec.Descriptor {
		d := digest.FromString(content)
		img.blobs[d] = []byte(content)
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = add(ocispec.MediaTypeImageConfig,
		fmt.Sprintf(`{"architecture":"amd64","os":"linux","created_by":%q}`, layers))
	for _, content := range layers {
		m.Layers = append(m.Layers, add(ocispec.MediaTypeImageLayer, content))
	}
	img.manifest = mustJSON(t, m)
	return img
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustParse(t testing.TB, s string) Ref {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// put writes an image to a reference.
func put(t testing.TB, s string, img testImage, opts Options) {
	t.Helper()
	d, err := mustParse(t, s).Create(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	for dgst, content := range img.blobs {
		desc := ocispec.Descriptor{Digest: dgst, Size: int64(len(content))}
		if err := d.PutBlob(t.Context(), desc, io.MultiReader(bytes.NewReader(content))); err != nil {
			t.Fatal(err)
		}
		if has, err := d.Has(t.Context(), dgst); !has || err != nil {
			t.Fatalf("has %s: %v, %v", dgst, has, err)
		}
	}
	if err := d.PutManifest(t.Context(), img.mediaType, img.manifest); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantImage reads a reference and compares all of it.
func wantImage(t testing.TB, s string, want testImage, opts Options) {
	t.Helper()
	src, err := mustParse(t, s).Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}()
	mediaType, raw, d := src.Manifest()
	if mediaType != want.mediaType || d != want.digest() || !bytes.Equal(raw, want.manifest) {
		t.Fatalf("%s is %s, want %s", s, d, want.digest())
	}
	for dgst, content := range want.blobs {
		got, err := readBlob(t.Context(), src, dgst, int64(len(content)))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("blob %s: %q, %v", dgst, got, err)
		}
	}
}

func readBlob(ctx context.Context, src Source, d digest.Digest, size int64) ([]byte, error) {
	rc, err := src.Blob(ctx, d, size)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(rc)
	return b, join(err, rc.Close())
}

// wantError checks that an error is one line and says all of texts.
func wantError(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", texts)
		return
	}
	if !legible.Plain(err.Error()) {
		t.Errorf("not one line: %q", err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
}

// platformIndex makes a random index with an image for each platform.
func platformIndex(t testing.TB, platforms ...string) (v1.ImageIndex, map[string]v1.Hash) {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	digests := make(map[string]v1.Hash)
	for _, s := range platforms {
		img, err := random.Image(200, 2)
		if err != nil {
			t.Fatal(err)
		}
		p, err := v1.ParsePlatform(s)
		if err != nil {
			t.Fatal(err)
		}
		if digests[s], err = img.Digest(); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	return index, digests
}

// writeLayout makes a layout with the library: each name is a tag, "" for none.
func writeLayout(t testing.TB, dir string, add map[string]mutate.Appendable) {
	t.Helper()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, what := range add {
		var opts []layout.Option
		if tag != "" {
			opts = append(opts, layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag}))
		}
		switch what := what.(type) {
		case v1.Image:
			err = p.AppendImage(what, opts...)
		case v1.ImageIndex:
			err = p.AppendIndex(what, opts...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantNames checks that a directory holds just these names.
func wantNames(t testing.TB, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("%s holds %v, want %v", filepath.Base(dir), got, names)
	}
}
