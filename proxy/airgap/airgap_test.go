package airgap_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/airgap/gate"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/name"
)

func put(t *testing.T, ref ggcr.Reference, img remote.Taggable) v1.Hash {
	t.Helper()
	if err := remote.Push(ref, img); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	return got.Digest
}

// signedIndex is a registry with an index of two images, a signature of each by tag, and an attestation by referrer that has
// one of its own.
func signedIndex(t *testing.T) (repo ggcr.Repository, index v1.Hash) {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(s.Close)
	repo, err := ggcr.NewRepository(strings.TrimPrefix(s.URL, "http://") + "/registry.example/team/os")
	if err != nil {
		t.Fatal(err)
	}
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := random.Image(1000, 2)
		if err != nil {
			t.Fatal(err)
		}
		all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		signature, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		put(t, repo.Tag("sha256-"+d.Hex+".sig"), mutate.MediaType(signature, types.OCIManifestSchema1))
	}
	index = put(t, repo.Tag("1"), all)
	about := index
	for range 2 {
		got, err := remote.Get(repo.Digest(about.String()))
		if err != nil {
			t.Fatal(err)
		}
		artifact, err := random.Image(50, 1)
		if err != nil {
			t.Fatal(err)
		}
		subject := mutate.Subject(mutate.MediaType(artifact, types.OCIManifestSchema1), got.Descriptor).(v1.Image)
		if about, err = subject.Digest(); err != nil {
			t.Fatal(err)
		}
		put(t, repo.Digest(about.String()), subject)
	}
	return repo, index
}

func newStore(t *testing.T) (*chunkstore.Store, airgap.ImportOptions) {
	t.Helper()
	chunks := storetest.InMemory(t)
	return chunks, options(t, chunks, t.TempDir())
}

// options are those of an import into a store for whose repositories no rule asks for signatures.
func options(t testing.TB, chunks *chunkstore.Store, dir string) airgap.ImportOptions {
	t.Helper()
	records := catalog.New(chunks, nil)
	g, err := gate.New(context.Background(),
		gate.Options{Chunks: chunks, Records: records, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	return airgap.ImportOptions{Chunks: chunks, Records: records, TempDir: dir, Now: time.Now, Gate: g}
}

func names(r *airgap.Report) (named []string, nameless int) {
	for _, e := range r.Entries {
		if e.Name == "" {
			nameless++
		} else {
			named = append(named, e.Name)
		}
	}
	return named, nameless
}

// All that belongs to an image comes along and is there afterwards: under its names, proven for its repository.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	repo, index := signedIndex(t)
	file := filepath.Join(t.TempDir(), "os.tar")
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), file, airgap.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	named, nameless := names(out)
	if len(named) != 3 || nameless != 2 || named[0] != "registry.example/team/os:1" {
		t.Errorf("%v, %d without a name", named, nameless)
	}
	chunks, o := newStore(t)
	in, err := airgap.Import(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out, in); diff != "" {
		t.Errorf("exported, imported:\n%s", diff)
	}
	for _, e := range in.Entries {
		rec, err := o.Records.Manifests.Get(t.Context(), e.Digest)
		if err != nil || rec == nil || rec.MediaType != e.Type {
			t.Errorf("%v: %v, %v", e, rec, err)
		}
		key := catalog.ContentKey{Repository: "registry.example/team/os", Digest: e.Digest}
		if p, err := o.Records.Proofs.Get(t.Context(), key); err != nil || p == nil || !p.All {
			t.Errorf("%v: %v, %v", e, p, err)
		}
		if err := chunks.Verify(t.Context(), e.Digest); err != nil {
			t.Errorf("%v: %v", e, err)
		}
		if e.Name == "" {
			continue
		}
		tag, _ := catalog.ParseTagKey(e.Name)
		if rec, err := o.Records.Tags.Get(t.Context(), tag); err != nil || rec == nil || rec.Digest != e.Digest {
			t.Errorf("%v: %v, %v", e, rec, err)
		}
	}
	// Both lists of referrers.
	fallback := catalog.TagKey{Repository: "registry.example/team/os", Tag: "sha256-" + index.Hex}
	rec, err := o.Records.Tags.Get(t.Context(), fallback)
	if err != nil || rec == nil {
		t.Fatalf("%v, %v", rec, err)
	}
	raw, err := chunks.Get(t.Context(), rec.Digest, 1<<20)
	var list ocispec.Index
	if err != nil || json.Unmarshal(raw, &list) != nil || len(list.Manifests) != 1 || list.Manifests[0].ArtifactType == "" {
		t.Errorf("%s, %v", raw, err)
	}
}

// One platform of an index, and a file that the other side's image leaves little in.
func TestPlatformAndSince(t *testing.T) {
	t.Parallel()
	repo, _ := signedIndex(t)
	dir := t.TempDir()
	one := filepath.Join(dir, "one.tar")
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), one, airgap.ExportOptions{Platform: "linux/arm64",
		Name: "quay.io/b/os:2"})
	if err != nil {
		t.Fatal(err)
	}
	named, _ := names(out)
	if len(named) != 2 || named[0] != "quay.io/b/os:2" || !strings.HasSuffix(named[1], ".sig") {
		t.Error(named)
	}
	since, err := airgap.Export(t.Context(), repo.Tag("1").String(), filepath.Join(dir, "two.tar"), airgap.ExportOptions{
		Platform: "linux/arm64", Since: []string{"oci-archive:" + one + ":quay.io/b/os:2"}})
	if err != nil || since.Left == 0 || since.Bytes+since.Left != out.Bytes {
		t.Errorf("%+v, %v; whole %+v", since, err, out)
	}
}

// write makes an archive of files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func blob(content string) string { return "blobs/sha256/" + digest.FromString(content).Encoded() }

func entry(content, annotations string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%s}}`, ocispec.MediaTypeImageManifest,
		digest.FromString(content), len(content), annotations)
}

// Hostile and broken files leave no tag and say in a line what is wrong.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	config := `{"os":"linux"}`
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromString(config), len(config))
	another := strings.Replace(manifest, `"layers":[]`, `"layers":[ ]`, 1)
	full := `"` + ocispec.AnnotationRefName + `":"registry.example/os:1"`
	index := func(entries ...string) string {
		return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
	}
	files := func(index string, more ...string) map[string]string {
		out := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": index}
		for _, content := range more {
			out[blob(content)] = content
		}
		return out
	}
	with := func(f map[string]string, name, content string) map[string]string { f[name] = content; return f }
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"good":        {files(index(entry(manifest, full)), manifest, config), ""},
		"empty":       {files(index()), "no image"},
		"no layout":   {map[string]string{"x": ""}, "not an OCI image layout"},
		"no manifest": {files(index(entry(manifest, full)), config), "not found"},
		"no config":   {files(index(entry(manifest, full)), manifest), "neither in the file nor in the store"},
		"wrong config": {with(files(index(entry(manifest, full)), manifest), blob(config), `{"os":"windo"}`),
			"content"},
		"long config": {with(files(index(entry(manifest, full)), manifest), blob(config), config+" "), "bytes, not"},
		"wrong manifest": {with(files(index(entry(manifest, full)), config), blob(manifest),
			strings.Repeat(" ", len(manifest))), "content"},
		"other digest": {files(index(entry(manifest,
			`"`+ocispec.AnnotationRefName+`":"registry.example/os@`+digest.FromString("x").String()+`"`)), manifest, config),
			"its name says"},
		"two without names": {files(index(entry(manifest, ""), entry(manifest, "")), manifest, config), "no full name"},
		"no host": {files(index(entry(manifest, `"`+ocispec.AnnotationRefName+`":"os:1"`)), manifest, config),
			"no full name"},
		"control character": {files(index(entry(manifest, `"`+ocispec.AnnotationRefName+`":"registry.example/o\ns:1"`)),
			manifest, config), "no full name"},
		"two repositories": {files(index(entry(manifest,
			full+`,"`+imageref.AnnotationRepository+`":"registry.example/other"`)), manifest, config), "by its annotation"},
		"no repository": {files(index(entry(manifest, `"`+imageref.AnnotationRepository+`":"../x"`)), manifest, config),
			""},
		"one manifest too often": {files(index(slices.Repeat([]string{entry(manifest, full)}, 4097)...), manifest, config),
			"4097 manifests"},
		"one name twice": {files(index(entry(manifest, full), entry(another, full)), manifest, another, config),
			"two images in it have one name, registry.example/os:1"},
		"about an image that is not there": {files(index(entry(manifest, full), entry(another,
			`"`+airgap.AnnotationOrigin+`":"`+digest.FromString("x").String()+`"`)), manifest, another, config),
			"and not that image"},
		"a proof with a name": {files(index(entry(manifest, full), entry(another, full+`,"`+airgap.AnnotationOrigin+`":"`+
			digest.FromString(manifest).String()+`"`)), manifest, another, config), "no image that has a name of its own"},
		"other algorithm": {files(strings.ReplaceAll(index(entry(manifest, full)), "sha256:", "sha512:"), manifest,
			config), "digest"},
	} {
		_, o := newStore(t)
		r, err := airgap.Import(t.Context(), write(t, tt.files), o)
		if name == "good" {
			if err != nil || len(r.Entries) != 1 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if n := count(t, o.Records); n > 0 {
			t.Errorf("%s: %d tags", name, n)
		}
	}
}

func count(t testing.TB, r *catalog.Records) (n int) {
	t.Helper()
	err := r.Tags.List(context.Background(), catalog.Prefix[catalog.TagKey]{}, func(catalog.TagKey, time.Time) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNameGiven(t *testing.T) {
	t.Parallel()
	repo, _ := signedIndex(t)
	file := filepath.Join(t.TempDir(), "os.tar")
	if _, err := airgap.Export(t.Context(), repo.Tag("1").String(), file,
		airgap.ExportOptions{Name: "bluefin"}); err == nil {
		t.Error("a short name was taken")
	}
	_, o := newStore(t)
	o.Names = name.Parser{DefaultUpstream: "registry.example"}
	if _, err := airgap.Import(t.Context(), file, o); err == nil {
		t.Error("a file that is not there was imported")
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), []byte(`{"schemaVersion":2}`), "registry.example/os:1")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json"}]}`), []byte(`{}`),
		"x")
	about := `{"schemaVersion":2,"layers":[]}`
	f.Add([]byte(`{"schemaVersion":2,"manifests":[`+entry(about, `"`+airgap.AnnotationDelta+`":"sha256:x"`)+`]}`),
		[]byte(about), "")
	f.Fuzz(func(t *testing.T, index, manifest []byte, as string) {
		path := write(t, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": string(index),
			blob(string(manifest)): string(manifest)})
		chunks := storetest.InMemory(t)
		o := options(t, chunks, t.TempDir())
		o.Name = as
		r, err := airgap.Import(context.Background(), path, o)
		if err == nil && len(r.Entries) == 0 {
			t.Error("nothing was imported, and nobody said so")
		}
	})
}
