package imageref

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/legible"
)

func TestLayoutRoundTrip(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "layout")
	one, two := makeImage(t, "shared", "one"), makeImage(t, "shared", "two", "")
	put(t, "oci:"+dir+":v1", one, Options{})
	wantImage(t, "oci:"+dir, one, Options{}) // the only one
	put(t, "oci:"+dir+":v2", two, Options{})
	wantImage(t, "oci:"+dir+":v1", one, Options{})
	wantImage(t, "oci:"+dir+":v2", two, Options{})

	put(t, "oci:"+dir+":v1", two, Options{})
	wantImage(t, "oci:"+dir+":v1", two, Options{})
	wantImage(t, "oci:"+dir, two, Options{}) // both tags are the same image
	put(t, "oci:"+dir, one, Options{})
	_, err := mustParse(t, "oci:"+dir).Open(t.Context(), Options{})
	wantError(t, err, "3 images are there", "v1, v2", "oci:"+dir)
	_, err = mustParse(t, "oci:"+dir+":v3").Open(t.Context(), Options{})
	wantError(t, err, `tag "v3" not found`, "v1, v2")
	wantNames(t, dir, "blobs", "index.json", "oci-layout")
}

func TestLayoutIsReadByOthers(t *testing.T) {
	t.Parallel()
	src, dst := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	img, err := random.Image(3000, 3)
	if err != nil {
		t.Fatal(err)
	}
	writeLayout(t, src, map[string]mutate.Appendable{"": img})
	copyImage(t, "oci:"+src, "oci:"+dst+":x", Options{})
	index, err := layout.ImageIndexFromPath(dst)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
}

// copyImage copies with this package alone.
func copyImage(t testing.TB, from, to string, opts Options) {
	t.Helper()
	src, err := mustParse(t, from).Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}()
	mediaType, raw, _ := src.Manifest()
	_, doc, err := identify(mediaType, raw)
	if err != nil {
		t.Fatal(err)
	}
	img := testImage{mediaType: mediaType, manifest: raw, blobs: make(map[digest.Digest][]byte)}
	for _, d := range append(doc.Manifest.Layers, doc.Manifest.Config) {
		if img.blobs[d.Digest], err = readBlob(t.Context(), src, d.Digest, d.Size); err != nil {
			t.Fatal(err)
		}
	}
	put(t, to, img, opts)
}

func TestLayoutPlatforms(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "l")
	index, digests := platformIndex(t, "linux/amd64", "linux/arm64")
	writeLayout(t, dir, map[string]mutate.Appendable{"v1": index})
	for _, p := range []string{"linux/amd64", "linux/arm64"} {
		src, err := mustParse(t, "oci:"+dir+":v1").Open(t.Context(), Options{Platform: p})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, d := src.Manifest(); d.String() != digests[p].String() {
			t.Errorf("%s: %s, want %s", p, d, digests[p])
		}
	}
	_, err := mustParse(t, "oci:"+dir+":v1").Open(t.Context(), Options{Platform: "linux/riscv64"})
	wantError(t, err, "linux/riscv64", "there is linux/amd64, linux/arm64")
	_, err = mustParse(t, "oci:"+dir+":v1").Open(t.Context(), Options{Platform: "riscv64"})
	wantError(t, err, "OS/ARCH")
}

func TestSelectTag(t *testing.T) {
	t.Parallel()
	tagged := func(d ocispec.Descriptor, tag string) ocispec.Descriptor {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
		return d
	}
	a, b := digest.FromString("a"), digest.FromString("b")
	signature := string(name.TagAbout(a, ".sig"))
	artifact, ofRepository := entry(digest.FromString("c"), 1, ""), entry(digest.FromString("d"), 1, "")
	artifact.ArtifactType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	ofRepository.Annotations = map[string]string{AnnotationRepository: "r.example/os"}
	tests := []struct {
		name  string
		index []ocispec.Descriptor
		tag   string
		want  int
		err   string
	}{
		{"empty", nil, "", 0, "layout is empty"},
		{"no tags", []ocispec.Descriptor{entry(a, 1, "")}, "v1", 0, "nothing there has a tag"},
		{"platforms without tags", []ocispec.Descriptor{entry(a, 1, "linux/amd64"), entry(b, 1, "linux/arm64")}, "", 2, ""},
		{"images without tags", []ocispec.Descriptor{entry(a, 1, ""), entry(b, 1, "")}, "", 0, "2 images are there"},
		{"one tag, two platforms", []ocispec.Descriptor{
			tagged(entry(a, 1, "linux/amd64"), "v"), tagged(entry(b, 1, "linux/arm64"), "v"), tagged(entry(b, 1, ""), "w"),
		}, "v", 2, ""},
		{"an image and what belongs to it", []ocispec.Descriptor{
			tagged(entry(a, 1, ""), "r.example/os:1"), tagged(entry(b, 1, ""), "r.example/os:"+signature), artifact,
			ofRepository,
		}, "", 1, ""},
		{"two images and what belongs to them", []ocispec.Descriptor{tagged(entry(a, 1, ""), "x"),
			tagged(entry(b, 1, ""), "y"), tagged(entry(b, 1, ""), signature), artifact}, "", 0, "2 images are there; add :TAG to choose one of x, y"},
		{"what belongs to an image, by its name", []ocispec.Descriptor{tagged(entry(a, 1, ""), "x"),
			tagged(entry(b, 1, ""), signature)}, signature, 1, ""},
		{"nothing else", []ocispec.Descriptor{artifact}, "", 1, ""},
		{"hostile tags", []ocispec.Descriptor{tagged(entry(a, 1, ""), "x\ny"), tagged(entry(b, 1, ""), " ")}, "", 0,
			`" ", "x\ny"`},
	}
	for _, tc := range tests {
		got, err := selectTag(indexOf(t, tc.index...), tc.tag)
		if tc.err != "" {
			wantError(t, err, tc.err)
		} else if err != nil || len(got) != tc.want {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
}

func TestLayoutDamage(t *testing.T) {
	t.Parallel()
	img := makeImage(t, "content of the layer")
	d := digest.FromString("content of the layer")
	const size = int64(len("content of the layer"))
	open := func(t *testing.T, damage func(dir string) error) (Source, error) {
		dir := t.TempDir()
		put(t, "oci:"+dir+":v", img, Options{})
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		return mustParse(t, "oci:"+dir+":v").Open(t.Context(), Options{})
	}
	write := func(name, content string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) }
	}
	for name, tc := range map[string]struct {
		damage func(string) error
		err    string
	}{
		"no layout file": {func(dir string) error { return os.Remove(filepath.Join(dir, "oci-layout")) },
			"not an OCI image layout"},
		"bad layout file":   {write("oci-layout", "]"), "not an OCI image layout"},
		"version":           {write("oci-layout", `{"imageLayoutVersion":"2.0.0"}`), `"2.0.0" is not supported`},
		"large layout file": {write("oci-layout", strings.Repeat(" ", maxLayoutFile+1)), "more than 4096 bytes"},
		"no index": {func(dir string) error { return os.Remove(filepath.Join(dir, "index.json")) },
			"index.json not found"},
		"bad index": {write("index.json", `{"manifests":3}`), "not valid JSON"},
		"ambiguous index": {write("index.json", `{"manifests":[],"Manifests":[]}`),
			"index.json: invalid image: index names"},
		"fifo": {func(dir string) error {
			name := filepath.Join(dir, "index.json")
			return errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600))
		}, "not a regular file"},
		"manifest gone": {func(dir string) error { return os.Remove(filepath.Join(dir, blobName(img.digest()))) },
			"layout is incomplete"},
		"manifest wrong": {write(blobName(img.digest()), strings.Repeat("x", len(img.manifest))), "has the digest"},
		"manifest short": {write(blobName(img.digest()), "x"), "has 1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, tc.damage)
			wantError(t, err, tc.err, "open oci:")
		})
	}
	src, err := open(t, write(blobName(d), "CONTENT of the layer"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBlob(t.Context(), src, d, size)
	if !errors.Is(err, verify.ErrMismatch) || len(got) != 0 {
		t.Errorf("damaged blob: %q, %v", got, err)
	}
	if _, err := readBlob(t.Context(), src, d, size+1); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("other size: %v", err)
	}
	if _, err := readBlob(t.Context(), src, "sha256:../../../index.json", 1); err == nil {
		t.Error("a path was taken for a digest")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readBlob(ctx, src, d, size); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLayoutWriteErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "holiday.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := mustParse(t, "oci:"+dir).Create(t.Context(), Options{})
	wantError(t, err, "not an OCI image layout", "new or empty")
	wantNames(t, dir, "holiday.jpg")

	dir = t.TempDir()
	d, err := mustParse(t, "oci:"+dir+":v").Create(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{Digest: digest.FromString("abc"), Size: 3}
	for name, content := range map[string]string{"other": "abd", "short": "ab", "long": "abcd"} {
		if err := d.PutBlob(t.Context(), desc, strings.NewReader(content)); !errors.Is(err, verify.ErrMismatch) {
			t.Errorf("%s content: %v", name, err)
		}
	}
	if err := d.PutBlob(t.Context(), ocispec.Descriptor{Digest: desc.Digest, Size: -1},
		strings.NewReader("abc")); err == nil {
		t.Error("a negative size was taken")
	}
	if has, err := d.Has(t.Context(), desc.Digest); has || err != nil {
		t.Errorf("has %v, %v", has, err)
	}
	img := makeImage(t, "abc")
	err = d.PutManifest(t.Context(), ocispec.MediaTypeImageManifest, img.manifest)
	wantError(t, err, "is not in the layout")
	wantError(t, d.PutManifest(t.Context(), "text/plain", []byte("{}")), "neither")
	wantNames(t, dir, "blobs", "index.json", "oci-layout")
	wantNames(t, filepath.Join(dir, "blobs", "sha256"))
}

func TestLayoutRepairsDamagedBlob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := makeImage(t, "layer")
	put(t, "oci:"+dir+":v", img, Options{})
	name := filepath.Join(dir, blobName(digest.FromString("layer")))
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "oci:"+dir+":w", img, Options{})
	after, err := os.Stat(name)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a good blob was rewritten (%v)", err)
	}
	if err := os.WriteFile(name, []byte("LAYER"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, "oci:"+dir+":v", img, Options{})
	wantImage(t, "oci:"+dir+":v", img, Options{})
}

func TestReplaceTagKeepsTheRest(t *testing.T) {
	t.Parallel()
	a, b, c, d := digest.FromString("a"), digest.FromString("b"), digest.FromString("c"), digest.FromString("d")
	old := `{"schemaVersion":2,"vendor":{"x":1.50},"manifests":[` +
		`{"digest":"` + string(a) + `","annotations":{"org.opencontainers.image.ref.name":"v1"}},` +
		`{"digest":"` + string(b) + `","extra":[1],"annotations":{"org.opencontainers.image.ref.name":"v2"}},{"digest":"` +
		string(c) + `"}]}`
	desc := ocispec.Descriptor{MediaType: "m", Digest: d, Size: 7}
	top, err := replaceTag([]byte(old), "v1", desc)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"manifests":[` +
		`{"digest":"` + string(b) + `","extra":[1],"annotations":{"org.opencontainers.image.ref.name":"v2"}},{"digest":"` +
		string(c) + `"},` +
		`{"mediaType":"m","digest":"` + string(d) + `","size":7,"annotations":{"org.opencontainers.image.ref.name":"v1"}}` +
		`],"schemaVersion":2,"vendor":{"x":1.50}}`
	if diff := cmp.Diff(want, string(mustJSON(t, top))); diff != "" {
		t.Error(diff)
	}
}

// Two who write tags at the same time both find them there in the end.
func TestConcurrentTags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tags := strings.Fields("a b c d e f g h")
	put(t, "oci:"+dir+":first", makeImage(t, "first"), Options{})
	var wg sync.WaitGroup
	for _, tag := range tags {
		img := makeImage(t, tag, "shared")
		wg.Go(func() {
			l, err := createLayout(dir, tag, false)
			if err != nil {
				t.Error(err)
				return
			}
			for d, content := range img.blobs {
				desc := ocispec.Descriptor{Digest: d, Size: int64(len(content))}
				if err := l.PutBlob(t.Context(), desc, bytes.NewReader(content)); err != nil {
					t.Error(err)
				}
			}
			if err := l.PutManifest(t.Context(), ocispec.MediaTypeImageManifest, img.manifest); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, tag := range tags {
		wantImage(t, "oci:"+dir+":"+tag, makeImage(t, tag, "shared"), Options{})
	}
}

func FuzzIndexFile(f *testing.F) {
	f.Add(string(indexOf(f, entry(digest.FromString("x"), 1, "linux/amd64"))), "v1")
	f.Add(`{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`, "v1")
	f.Add(`null`, "")
	f.Fuzz(func(t *testing.T, index, tag string) {
		if _, err := selectTag([]byte(index), tag); err != nil && !legible.Plain(err.Error()) {
			t.Errorf("not one line: %q", err)
		}
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("new"), Size: 1}
		top, err := replaceTag([]byte(index), tag, desc)
		if err != nil {
			return
		}
		raw, err := json.Marshal(top)
		if err != nil {
			t.Fatal(err)
		}
		if tag == "" || strings.ToValidUTF8(tag, "") != tag {
			return
		}
		found, err := selectTag(raw, tag)
		if err != nil || len(found) != 1 || found[0].Digest != desc.Digest {
			t.Errorf("%q: tag %q gives %v, %v", raw, tag, found, err)
		}
	})
}

// A layout that was made for an image that never came goes again, with its directory if that was made, too. One that
// somebody has put something into stays, and so does one that was there.
func TestLayoutGoesWithoutAnImage(t *testing.T) {
	t.Parallel()
	create := func(dir string) Destination {
		t.Helper()
		d, err := mustParse(t, "oci:"+dir+":x").Create(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	end := func(d Destination) {
		t.Helper()
		for range 2 {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	parent := t.TempDir()
	end(create(filepath.Join(parent, "new")))
	wantNames(t, parent)

	empty := t.TempDir()
	end(create(empty))
	wantNames(t, empty)

	blob := t.TempDir()
	d := create(blob)
	content := []byte("x")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(content), Size: 1}
	if err := d.PutBlob(t.Context(), desc, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	end(d)
	wantNames(t, blob, "blobs", "index.json", "oci-layout")

	shared := filepath.Join(t.TempDir(), "shared")
	first := create(shared)
	put(t, "oci:"+shared+":y", makeImage(t, "y"), Options{})
	end(first)
	wantImage(t, "oci:"+shared+":y", makeImage(t, "y"), Options{})
	end(create(shared))
	wantImage(t, "oci:"+shared+":y", makeImage(t, "y"), Options{})
}

// One that is wanted whole or not at all goes with the blobs that were written for it, but not with an image of somebody
// else.
func TestLayoutWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	begin := func() Destination {
		d, err := mustParse(t, "oci:"+filepath.Join(parent, "new")+":x").Create(t.Context(), Options{Whole: true})
		if err != nil {
			t.Fatal(err)
		}
		content := []byte("x")
		desc := ocispec.Descriptor{Digest: digest.FromBytes(content), Size: 1}
		if err := d.PutBlob(t.Context(), desc, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if err := begin().Close(); err != nil {
		t.Fatal(err)
	}
	wantNames(t, parent)
	d := begin()
	other := "oci:" + filepath.Join(parent, "new") + ":y"
	put(t, other, makeImage(t, "y"), Options{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wantImage(t, other, makeImage(t, "y"), Options{})
}
