package pulltest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// fakeUpstream is a registry in memory with one repository under any name. It counts requests and fails as told.
type fakeUpstream struct {
	*httptest.Server
	mu        sync.Mutex
	tags      map[string]digest.Digest
	manifests map[digest.Digest]document
	blobs     map[digest.Digest][]byte
	counts    map[string]int
	// fault may answer a request in the registry's place.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

type document struct {
	mediaType string
	bytes     []byte
}

func newUpstream(t testing.TB) *fakeUpstream {
	u := &fakeUpstream{
		tags: map[string]digest.Digest{}, manifests: map[digest.Digest]document{}, blobs: map[digest.Digest][]byte{},
		counts: map[string]int{},
	}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Server.Close)
	return u
}

// ServeHTTP answers /v2/<name>/<kind>/<reference>.
func (u *fakeUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	kind, ref := parts[len(parts)-2], parts[len(parts)-1]
	u.mu.Lock()
	u.counts[r.Method+" "+kind]++
	fault := u.fault
	u.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	switch kind {
	case "manifests":
		u.serveManifest(w, r, ref)
	case "blobs":
		u.serveBlob(w, r, digest.Digest(ref))
	case "tags":
		u.serveTags(w)
	default:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "")
	}
}

func (u *fakeUpstream) serveManifest(w http.ResponseWriter, r *http.Request, ref string) {
	u.mu.Lock()
	d, ok := u.tags[ref]
	if !ok {
		d = digest.Digest(ref)
	}
	m, ok := u.manifests[d]
	u.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", d.String())
	if r.Method == http.MethodGet {
		_, _ = w.Write(m.bytes)
	}
}

func (u *fakeUpstream) serveBlob(w http.ResponseWriter, r *http.Request, d digest.Digest) {
	u.mu.Lock()
	b, ok := u.blobs[d]
	u.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "")
		return
	}
	http.ServeContent(w, r, "", epoch, strings.NewReader(string(b)))
}

func (u *fakeUpstream) serveTags(w http.ResponseWriter) {
	var list struct {
		Tags []string `json:"tags"`
	}
	u.mu.Lock()
	for tag := range u.tags {
		list.Tags = append(list.Tags, tag)
	}
	u.mu.Unlock()
	_ = json.NewEncoder(w).Encode(list)
}

func refuse(w http.ResponseWriter, status int, code, retryAfter string) {
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "message": "told to"}}})
}

// put stores an image's documents and returns its digest.
func (u *fakeUpstream) put(m document, blobs ...[]byte) digest.Digest {
	u.mu.Lock()
	defer u.mu.Unlock()
	d := digest.FromBytes(m.bytes)
	u.manifests[d] = m
	for _, b := range blobs {
		u.blobs[digest.FromBytes(b)] = b
	}
	return d
}

func (u *fakeUpstream) tag(tag string, d digest.Digest) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tags[tag] = d
}

func (u *fakeUpstream) untag(tag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.tags, tag)
}

func (u *fakeUpstream) fail(fault func(w http.ResponseWriter, r *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = fault
}

// failWith answers every request whose method and kind begin with prefix ("", "GET blobs") with a status.
func (u *fakeUpstream) failWith(prefix string, status int) {
	u.fail(func(w http.ResponseWriter, r *http.Request) bool {
		parts := strings.Split(r.URL.Path, "/")
		if !strings.HasPrefix(r.Method+" "+parts[len(parts)-2], prefix) {
			return false
		}
		refuse(w, status, "", "")
		return true
	})
}

// hold makes requests for blobs wait until the returned function is called.
func (u *fakeUpstream) hold(t testing.TB) (release func()) {
	gate := make(chan struct{})
	u.fail(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		return false
	})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return release
}

// count returns how many requests there were of a method and kind ("HEAD manifests").
func (u *fakeUpstream) count(what string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.counts[what]
}

// total returns how many requests there were.
func (u *fakeUpstream) total() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, c := range u.counts {
		n += c
	}
	return n
}
