package airgap_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/airgap"
)

// A name that is given is for an image that has none, and for one alone.
func TestNameForNameless(t *testing.T) {
	t.Parallel()
	config := `{"os":"linux"}`
	document := func(configType, space string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[%s]}`,
			ocispec.MediaTypeImageManifest, configType, digest.FromString(config), len(config), space)
	}
	one, two := document(ocispec.MediaTypeImageConfig, ""), document(ocispec.MediaTypeImageConfig, " ")
	artifact := document("application/vnd.example", "")
	named := func(name string) string { return fmt.Sprintf("%q:%q", ocispec.AnnotationRefName, name) }
	for name, tt := range map[string]struct {
		entries []string
		want    string // the names that there are, or an error
	}{
		"none":      {[]string{entry(one, "")}, "registry.example/os:v2"},
		"another's": {[]string{entry(one, named("stable"))}, "registry.example/os:v2"},
		"its own": {[]string{entry(one, named("registry.example/os:1"))},
			"names of their own, such as \"registry.example/os:1\""},
		"one of two": {[]string{entry(one, named("registry.example/os:1")), entry(two, "")},
			"registry.example/os:1 registry.example/os:v2"},
		"by digest, and one": {[]string{entry(one, named("registry.example/os@"+digest.FromString(one).String())), entry(two, "")},
			"registry.example/os@" + digest.FromString(one).String() + " registry.example/os:v2"},
		"two": {[]string{entry(one, ""), entry(two, "")}, "two images in it have one name"},
		"the name of one": {[]string{entry(one, named("registry.example/os:v2")), entry(two, "")},
			"two images in it have one name"},
		"no image": {[]string{entry(artifact, "")}, "is no image, but a document of the type"},
	} {
		_, o := newStore(t)
		o.Name = "registry.example/os:v2"
		files := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
			"index.json": `{"schemaVersion":2,"manifests":[` + strings.Join(tt.entries, ",") + `]}`}
		for _, content := range []string{one, two, artifact, config} {
			files[blob(content)] = content
		}
		r, err := airgap.Import(t.Context(), write(t, files), o)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || count(t, o.Records) > 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got, _ := names(r); strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What belongs to an image and cannot be had is told, and the rest is in the file.
func TestExportOfWhatIsThere(t *testing.T) {
	t.Parallel()
	whole, _ := signedIndex(t)
	target, err := url.Parse("http://" + whole.RegistryStr())
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	list, err := remote.Get(whole.Tag("1"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := list.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	images, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := remote.Image(whole.Tag("sha256-" + images.Manifests[1].Digest.Hex + ".sig"))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := signature.Layers()
	if err != nil {
		t.Fatal(err)
	}
	lost, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".att") || strings.HasSuffix(r.URL.Path, lost.String()) {
			http.Error(w, `{"errors":[{"code":"UNAVAILABLE","message":"upstream is away"}]}`, http.StatusNotImplemented)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	repo, err := ggcr.NewRepository(strings.TrimPrefix(s.URL, "http://") + "/registry.example/team/os")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "os.tar")
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), file, airgap.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	attestations := 0
	for _, m := range out.Missing {
		if strings.HasSuffix(m.What, ".att") {
			attestations++
		} else if m.What != "sha256-"+images.Manifests[1].Digest.Hex+".sig" {
			t.Errorf("%+v", m)
		}
		if strings.Contains(m.Why, "\n") {
			t.Errorf("not one line: %q", m.Why)
		}
	}
	if attestations == 0 || attestations+1 != len(out.Missing) {
		t.Errorf("%+v", out.Missing)
	}
	_, o := newStore(t)
	in, err := airgap.Import(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	if named, nameless := names(in); len(named) != 2 || nameless != 2 {
		t.Errorf("%v, %d without a name", named, nameless)
	}
}

// A registry that is away behind a proxy is waited for once, and not for each tag and list.
func TestExportWaitsOnce(t *testing.T) {
	t.Parallel()
	whole, _ := signedIndex(t)
	target, err := url.Parse("http://" + whole.RegistryStr())
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	var mu sync.Mutex
	asked := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/sha256-") || strings.Contains(r.URL.Path, "/referrers/") {
			mu.Lock()
			asked[r.Method+" "+r.URL.Path]++
			mu.Unlock()
			http.Error(w, `{"errors":[{"code":"UNAVAILABLE","message":"upstream is away"}]}`, http.StatusServiceUnavailable)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	repo, err := ggcr.NewRepository(strings.TrimPrefix(s.URL, "http://") + "/registry.example/team/os")
	if err != nil {
		t.Fatal(err)
	}
	out, err := airgap.Export(t.Context(), repo.Tag("1").String(), filepath.Join(t.TempDir(), "os.tar"),
		airgap.ExportOptions{})
	if err != nil || len(out.Missing) < 10 {
		t.Fatalf("%+v, %v", out, err)
	}
	again := 0
	for _, n := range asked {
		if n > 1 {
			again++
		}
	}
	if again > 1 {
		t.Errorf("%d of %d questions were asked again", again, len(asked))
	}
}
