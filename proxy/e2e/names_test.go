package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

// TestNamesOfOneImage asks for an image in all ways that clients have to name it.
func TestNamesOfOneImage(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newSeries(t), proxyOptions{})
	want := p.wantManifest(upstreamHost+"/os/image/manifests/v1", http.StatusOK, "rechunked")
	for _, path := range []string{"os/image/manifests/v1", "os/image/manifests/v1?ns=" + upstreamHost} {
		if got := p.wantManifest(path, http.StatusOK, "rechunked"); got != want {
			t.Errorf("%s gives %s, want %s", path, got, want)
		}
	}
	if resp := p.get("other.example/os/image/manifests/v1"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a registry that is not configured: status %d", resp.StatusCode)
	}
	if j := p.jobs(); j.Done != 1 {
		t.Errorf("jobs: %+v, want one", j)
	}
}

// TestSkopeoMirror points skopeo at the proxy as hosts do: by registries.conf, with the image's own name.
func TestSkopeoMirror(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	p := newProxy(t, newSeries(t), proxyOptions{})
	want := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	for kind, text := range map[string]string{
		"location": "[[registry]]\nprefix = \"%[1]s\"\nlocation = \"%[2]s/%[1]s\"\ninsecure = true\n",
		"mirror":   "[[registry]]\nprefix = \"%[1]s\"\nlocation = \"%[1]s\"\n[[registry.mirror]]\nlocation = \"%[2]s/%[1]s\"\ninsecure = true\n",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conf := filepath.Join(t.TempDir(), "registries.conf")
			if err := os.WriteFile(conf, fmt.Appendf(nil, text, upstreamHost, p.Clients), 0o600); err != nil {
				t.Fatal(err)
			}
			raw := command(t, nil, "skopeo", "--insecure-policy", "--registries-conf", conf, "inspect", "--raw",
				"docker://"+upstreamHost+"/os/image:v1")
			if got := digest.FromString(raw); got != want {
				t.Errorf("skopeo gets %s, want %s", got, want)
			}
		})
	}
}

// TestDigestsStandForTheirBytes asks for the source's and the served image by their digests, with a proxy that knows
// neither, too.
func TestDigestsStandForTheirBytes(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	source := u.push("os/image:v1", series(false)[0])
	p, cold := newProxy(t, u, proxyOptions{}), newProxy(t, u, proxyOptions{})
	served := p.wantManifest("os/image/manifests/v1", http.StatusOK, "rechunked")
	if served == source.digest() {
		t.Fatal("the image was not rechunked")
	}
	for _, q := range []*proxy{p, cold} {
		if got := q.wantManifest("os/image/manifests/"+source.digest().String(), http.StatusOK,
			"original"); got != source.digest() {
			t.Errorf("the source's digest %s gives %s", source.digest(), got)
		}
	}
	if got := p.wantManifest("os/image/manifests/"+served.String(), http.StatusOK, "rechunked"); got != served {
		t.Errorf("the served digest %s gives %s", served, got)
	}
	if resp := cold.get("os/image/manifests/" + served.String()); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a digest that neither the proxy nor the upstream knows: status %d", resp.StatusCode)
	}
}

func TestTagsAndReferrersComeFromTheUpstream(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	source := u.push("os/image:v1", series(false)[0])
	subject := source.descriptor()
	signature := artifact(u, "os/image", "application/vnd.example.signature", &subject)
	u.put("os/image@"+signature.digest().String(), signature)
	p := newProxy(t, u, proxyOptions{})

	tags, err := remote.List(reference(t, p.image("os/image:v1")).Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tags)
	// The registry has no referrers API, so the client that pushed the signature lists it under a tag made of the digest.
	if len(tags) < 3 || !slices.Contains(tags, "v1") || !slices.Contains(tags, "v3") {
		t.Errorf("tags %v", tags)
	}
	d := reference(t, p.image("os/image@"+source.digest().String())).Context().Digest(source.digest().String())
	index, err := remote.Referrers(d)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != 1 || list.Manifests[0].Digest.String() != signature.digest().String() {
		t.Errorf("referrers %+v, want %s", list.Manifests, signature.digest())
	}
}
