package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

const (
	alice   = "alice:wonder"  // may pull honest.test/team/…
	mallory = "mallory:malus" // may pull honest.test/mallory/… and all of evil.test
	// marker is what mallory must never see.
	marker = "the marker that stands in a private file only"
)

// tenants are a proxy with two upstreams and two users, and alice's private image behind it.
type tenants struct {
	*proxy
	honest, evil *upstream
	desc         ocispec.Descriptor // alice's image
	manifest     ocispec.Manifest
	secret       layer // holds the marker
	known        bool  // mallory has the bytes of alice's manifest of her own
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	s := &tenants{honest: newUpstream(t), evil: newUpstream(t)}
	s.secret = gzipped(t, treetest.Dir("etc"), treetest.File("etc/secret", marker))
	s.desc, s.manifest = s.honest.image("team/secret", "v1", gzipped(t, treetest.Dir("usr"), treetest.File("usr/x", "x")),
		s.secret)
	file := filepath.Join(t.TempDir(), "htpasswd")
	var text strings.Builder
	for _, user := range []string{alice, mallory} {
		name, password, _ := strings.Cut(user, ":")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s:%s\n", name, hash)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.proxy = newProxy(t, map[string]*upstream{"honest.test": s.honest, "evil.test": s.evil}, "access:",
		"  htpasswd_file: "+file,
		"  rules:", "    - {match: honest.test/team/**, allow: [alice]}",
		"    - {match: honest.test/mallory/**, allow: [mallory]}", "    - {match: evil.test/**, allow: [mallory]}")
	return s
}

// warm has alice pull her image, so that all of it is stored.
func (s *tenants) warm() {
	s.t.Helper()
	if _, _, err := s.pull(alice, "honest.test/team/secret", "v1"); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := s.pull(alice, "honest.test/team/secret", s.desc.Digest.String()); err != nil {
		s.t.Fatal(err)
	}
}

// shows reports whether bytes are, or hold, what is private.
func (s *tenants) shows(b []byte) bool {
	switch digest.FromBytes(b) {
	case s.secretLayer().Digest, s.manifest.Config.Digest:
		return true
	case s.desc.Digest:
		return !s.known
	}
	return bytes.Contains(plain(b), []byte(marker))
}

// blind fails the test when mallory gets to see what is private.
func (s *tenants) blind(what string, bodies ...[]byte) {
	s.t.Helper()
	for _, b := range bodies {
		if s.shows(b) {
			s.t.Errorf("%s: mallory sees %.80q", what, b)
		}
	}
}

// steal asks for a digest under a name as mallory, in every way there is.
func (s *tenants) steal(what, repository string, d digest.Digest) {
	s.t.Helper()
	for _, kind := range []string{"blobs", "manifests"} {
		path := "/v2/" + repository + "/" + kind + "/" + d.String()
		for _, header := range [][]string{nil, {"Range", "bytes=0-99"}, {"Range", "bytes=-60"}} {
			a := s.as(mallory, http.MethodGet, path, header...)
			s.blind(what+" "+kind, a.body)
			if a.status == http.StatusPartialContent && bytes.Contains(s.secret.blob, a.body) && len(a.body) > 8 {
				s.t.Errorf("%s: mallory gets a part of a private blob", what)
			}
		}
	}
}

// claims answers HEAD as if it had a blob or manifest, and GET not at all.
func claims(mediaType string, d ocispec.Descriptor) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", fmt.Sprint(d.Size))
		w.Header().Set("Docker-Content-Digest", d.Digest.String())
	}
}

func (s *tenants) secretLayer() ocispec.Descriptor { return s.manifest.Layers[1] }

// Nothing that is known by a digest alone is had by naming it.
func TestTenants(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(*tenants){
		"nothing but the digest":         func(*tenants) {},
		"a HEAD that claims it":          headClaims,
		"a tag whose manifest is it":     tagIsIt,
		"a manifest that lists it":       manifestLists,
		"a foreign layer with urls":      foreignLayer,
		"an index that lists it":         indexLists,
		"an image to rechunk with it":    rechunkedWith,
		"a right Docker-Content-Digest":  rightDigestHeader,
		"a manifest with its own digest": sameManifest,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTenants(t)
			s.warm()
			attack(s)
			for _, repository := range []string{"evil.test/x", "honest.test/mallory/x", "evil.test/team/secret"} {
				s.steal(name, repository, s.secretLayer().Digest)
				s.steal(name, repository, s.desc.Digest)
				s.steal(name, repository, s.manifest.Config.Digest)
			}
			// Alice is served all the same.
			s.warm()
		})
	}
}

func headClaims(s *tenants) {
	for _, d := range []ocispec.Descriptor{s.secretLayer(), s.desc} {
		s.evil.lie("/v2/x/blobs/"+d.Digest.String(), claims("application/octet-stream", d))
		s.evil.lie("/v2/x/manifests/"+d.Digest.String(), claims(ocispec.MediaTypeImageManifest, d))
	}
}

func tagIsIt(s *tenants) {
	s.evil.lie("/v2/x/manifests/latest", claims(ocispec.MediaTypeImageManifest, s.desc))
	s.evil.lie("/v2/x/manifests/"+s.desc.Digest.String(), claims(ocispec.MediaTypeImageManifest, s.desc))
	a := s.as(mallory, http.MethodGet, "/v2/evil.test/x/manifests/latest")
	s.blind("the tag", a.body)
}

// thief is a manifest of mallory's that lists alice's layer.
func (s *tenants) thief(repository string, u *upstream, layers ...ocispec.Descriptor) {
	config := u.blob(repository, ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux"}`))
	u.manifest(repository, "latest", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: layers,
	})
	_, bodies, _ := s.pull(mallory, map[*upstream]string{s.evil: "evil.test/", s.honest: "honest.test/"}[u]+repository,
		"latest")
	s.blind("the manifest", bodies...)
}

func manifestLists(s *tenants) {
	s.thief("x", s.evil, s.secretLayer())
	s.thief("mallory/x", s.honest, s.secretLayer())
	headClaims(s)
	s.thief("x", s.evil, s.secretLayer())
}

func foreignLayer(s *tenants) {
	l := s.secretLayer()
	l.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	l.URLs = []string{s.honest.URL + "/v2/team/secret/blobs/" + l.Digest.String()}
	s.thief("x", s.evil, l)
	s.thief("mallory/x", s.honest, l)
}

func indexLists(s *tenants) {
	child := s.desc
	child.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	for repository, u := range map[string]*upstream{"x": s.evil, "mallory/x": s.honest} {
		u.manifest(repository, "index", ocispec.MediaTypeImageIndex, ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{child},
		})
		host := map[*upstream]string{s.evil: "evil.test/", s.honest: "honest.test/"}[u]
		a := s.as(mallory, http.MethodGet, "/v2/"+host+repository+"/manifests/index", "Accept", ocispec.MediaTypeImageIndex)
		var idx ocispec.Index
		if json.Unmarshal(a.body, &idx) != nil {
			continue
		}
		for _, d := range idx.Manifests {
			_, bodies, _ := s.pull(mallory, host+repository, d.Digest.String())
			s.blind("the index", bodies...)
		}
	}
}

// rechunkedWith lists the private layer in a bootable image, whose served form would hold the private file.
func rechunkedWith(s *tenants) {
	for repository, u := range map[string]*upstream{"x": s.evil, "mallory/x": s.honest} {
		own := gzipped(s.t, treetest.Dir("usr"), treetest.File("usr/mine", "mine"))
		u.image(repository, "boot", own, s.secret)
		u.lie("/v2/"+repository+"/blobs/"+s.secretLayer().Digest.String(),
			claims("application/octet-stream", s.secretLayer()))
		host := map[*upstream]string{s.evil: "evil.test/", s.honest: "honest.test/"}[u]
		served, bodies, _ := s.pull(mallory, host+repository, "boot")
		s.blind("the rechunked image", bodies...)
		if served == "rechunked" {
			s.t.Errorf("%s%s is rechunked with a layer that never came through it", host, repository)
		}
	}
}

func rightDigestHeader(s *tenants) {
	lie := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", s.desc.Digest.String())
		fmt.Fprint(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	}
	s.evil.lie("/v2/x/manifests/latest", lie)
	s.evil.lie("/v2/x/manifests/"+s.desc.Digest.String(), lie)
	s.blind("the tag", s.as(mallory, http.MethodGet, "/v2/evil.test/x/manifests/latest").body)
}

// sameManifest gives the very bytes of alice's manifest, which mallory may know: it is no secret then, but what it lists is.
func sameManifest(s *tenants) {
	s.known = true
	b, err := json.Marshal(s.manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	s.evil.put("/v2/x/manifests/copy", ocispec.MediaTypeImageManifest, b)
	s.evil.put("/v2/x/manifests/"+s.desc.Digest.String(), ocispec.MediaTypeImageManifest, b)
	_, bodies, _ := s.pull(mallory, "evil.test/x", "copy")
	s.blind("the copy", bodies[min(1, len(bodies)):]...)
	s.evil.put("/v2/x/manifests/"+s.desc.Digest.String(), "", nil)
	s.evil.lie("/v2/x/manifests/"+s.desc.Digest.String(), http.NotFound)
	for _, l := range s.manifest.Layers {
		s.blind("the copy's layers", s.as(mallory, http.MethodGet, "/v2/evil.test/x/blobs/"+l.Digest.String()).body)
	}
}

// A download under way for one repository is not joined from another.
func TestTenantsDoNotShareDownloads(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	headClaims(s)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	path := "/v2/team/secret/blobs/" + s.secretLayer().Digest.String()
	s.honest.lie(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(s.secret.blob)))
		if r.Method == http.MethodHead {
			return
		}
		_, _ = w.Write(s.secret.blob[:len(s.secret.blob)/2])
		_ = http.NewResponseController(w).Flush()
		once.Do(func() { close(begun) })
		<-goOn
		_, _ = w.Write(s.secret.blob[len(s.secret.blob)/2:])
	})
	done := make(chan answer, 1)
	go func() {
		done <- s.as(alice, http.MethodGet, "/v2/honest.test/team/secret/blobs/"+s.secretLayer().Digest.String())
	}()
	<-begun
	a := s.as(mallory, http.MethodGet, "/v2/evil.test/x/blobs/"+s.secretLayer().Digest.String())
	close(goOn)
	if a.status == http.StatusOK || len(a.body) > 0 && bytes.HasPrefix(s.secret.blob, a.body) {
		t.Errorf("mallory joins alice's download: %s", a)
	}
	if got := <-done; digest.FromBytes(got.body) != s.secretLayer().Digest {
		t.Errorf("alice: %s", got)
	}
}

// Bytes that an attacker gives for a digest never reach who asks another upstream for it, whole or in part.
func TestPoisonedParts(t *testing.T) {
	t.Parallel()
	honest, evil := newUpstream(t), newUpstream(t)
	content := make([]byte, 64<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content)
	poison := bytes.Repeat([]byte("poison"), len(content)/6+1)[:len(content)]
	d := honest.blob("os/image", "application/octet-stream", content)
	evil.put("/v2/x/blobs/"+d.Digest.String(), "application/octet-stream", poison)
	slow := func(b []byte) http.HandlerFunc { // the front never arrives, so that parts are fetched
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", d.Digest.String())
			if r.Header.Get("Range") != "" || r.Method == http.MethodHead {
				serveRange(w, r, b)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:1<<20])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	evil.lie("/v2/x/blobs/"+d.Digest.String(), slow(poison))
	honest.lie("/v2/os/image/blobs/"+d.Digest.String(), slow(content))
	p := newProxy(t, map[string]*upstream{"honest.test": honest, "evil.test": evil})
	far := []string{"Range", "bytes=60000000-60000099"}
	p.get("/v2/evil.test/x/blobs/"+d.Digest.String(), far...)
	a := p.get("/v2/honest.test/os/image/blobs/"+d.Digest.String(), far...)
	if !bytes.Equal(a.body, content[60000000:60000100]) {
		t.Errorf("a part of another upstream's blob: %s", a)
	}
}

// Upstreams that claim at random never make what came through one repository visible in another.
func TestRandomLies(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	s.warm()
	rounds := 60
	if testing.Short() {
		rounds = 12
	}
	rng := rand.New(rand.NewPCG(7, 11))
	attacks := []func(*tenants){headClaims, tagIsIt, manifestLists, foreignLayer, indexLists, rechunkedWith,
		rightDigestHeader}
	for range rounds {
		attacks[rng.IntN(len(attacks))](s)
		targets := []digest.Digest{s.secretLayer().Digest, s.desc.Digest, s.manifest.Config.Digest}
		repository := []string{"evil.test/x", "honest.test/mallory/x", "evil.test/y"}[rng.IntN(3)]
		s.steal("a random lie", repository, targets[rng.IntN(len(targets))])
	}
}

// Rules hold however a name is spelled.
func TestSpellings(t *testing.T) {
	t.Parallel()
	s := newTenants(t)
	s.warm()
	d := s.secretLayer().Digest.String()
	for _, path := range []string{
		"/v2/honest.test/team/secret/blobs/" + d,
		"/v2/honest.test:443/team/secret/blobs/" + d,
		"/v2/HONEST.test/team/secret/blobs/" + d,
		"/v2/honest.test./team/secret/blobs/" + d,
		"/v2/team/secret/blobs/" + d + "?ns=honest.test",
		"/v2/team/secret/blobs/" + d + "?ns=honest.test:443",
		"/v2/team/secret/blobs/" + d + "?ns=HONEST.TEST",
		"/v2/x/blobs/" + d + "?ns=evil.test&ns=honest.test",
		"/v2/honest.test//team/secret/blobs/" + d,
		"/v2/honest.test/mallory/../team/secret/blobs/" + d,
		"/v2/honest.test/mallory/%2e%2e/team/secret/blobs/" + d,
		"/v2/honest.test%2fteam/secret/blobs/" + d,
		"/v2/honest.test/team%2fsecret/blobs/" + d,
	} {
		a := s.as(mallory, http.MethodGet, path)
		s.blind(path, a.body)
		if a.status == http.StatusOK {
			t.Errorf("%s: %s", path, a)
		}
	}
	a := s.as(alice, http.MethodGet, "/v2/honest.test/team/secret/blobs/"+d)
	if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "private") ||
		!strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Authorization") {
		t.Errorf("content under rules: status %d, Cache-Control %q, Vary %q", a.status, a.header.Get("Cache-Control"),
			a.header.Values("Vary"))
	}
}
