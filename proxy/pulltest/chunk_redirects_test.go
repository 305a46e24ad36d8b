package pulltest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/registry"
)

// Where the storage gives URLs, clients get compressed chunks there, once they are seen to be stored.
func TestChunkRedirects(t *testing.T) {
	t.Parallel()
	h := newHarness(t, withChunks, func(h *harness) { h.driver = linked{h.driver} })
	h.up.tag("stable", chunky(t, "one").push(t, h.up))
	handler := registry.New(registry.Options{Manifests: h.Images, Blobs: h.Images, Chunks: h.Casync, Redirects: h.Images})
	srv := httptest.NewServer(handler)
	defer srv.Close()
	at := srv.URL + "/casync/" + testRepo.String()
	x := indexAt(t, at+"/stable.caibx")
	answer, _ := fetch(t, at+"/store/"+casync.Path(x.Chunks[0].ID, true))
	if answer.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(answer.Header.Get("Location"), elsewhere) {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
	if answer, b := fetch(t, at+"/store/"+casync.Path(x.Chunks[0].ID, false)); casync.Sum(b) != x.Chunks[0].ID {
		t.Errorf("as it is: %s", answer.Status)
	}
	path := strings.TrimPrefix(answer.Header.Get("Location"), elsewhere)
	if err := h.driver.Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if answer, b := fetch(t, at+"/store/"+casync.Path(x.Chunks[0].ID, true)); answer.StatusCode != http.StatusOK {
		t.Errorf("one that is gone: %s: %s", answer.Status, b)
	}
}

// linked is storage that gives URLs.
type linked struct{ storagedriver.StorageDriver }

const elsewhere = "https://storage.example"

// RedirectURL implements storagedriver.StorageDriver.
func (linked) RedirectURL(_ *http.Request, path string) (string, error) { return elsewhere + path, nil }
