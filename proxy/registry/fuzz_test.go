package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/strata-oci/strata/proxy/name"
)

// FuzzRange compares an answer to a Range header with the slices of the content that its Content-Range headers name.
func FuzzRange(f *testing.F) {
	for _, header := range []string{
		"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=0-1,3-4", "bytes=9999999999999999999-", "bytes=1-0", "bytes=,",
		"lines=1", "bytes=0-,1-",
	} {
		f.Add(header)
	}
	backend, _, blob := newFake()
	h := backend.handler()
	f.Fuzz(func(t *testing.T, header string) {
		w := call(h, http.MethodGet, blobURL(blob), "Range", header)
		if got := w.Header().Get("Content-Length"); got != fmt.Sprint(w.Body.Len()) {
			t.Errorf("%q: Content-Length %s for %d bytes", header, got, w.Body.Len())
		}
		switch w.Code {
		case http.StatusOK:
			if !bytes.Equal(w.Body.Bytes(), blob) {
				t.Errorf("%q: 200 with %d of %d bytes", header, w.Body.Len(), len(blob))
			}
		case http.StatusPartialContent:
			if err := checkPartial(w, blob); err != nil {
				t.Errorf("%q: %v", header, err)
			}
		case http.StatusRequestedRangeNotSatisfiable, http.StatusBadRequest:
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%q: no document", header)
			}
		default:
			t.Errorf("%q: status %d", header, w.Code)
		}
	})
}

// checkPartial checks that a 206 has what it says it has.
func checkPartial(w *httptest.ResponseRecorder, blob []byte) error {
	mediaType, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		return err
	}
	if mediaType != "multipart/byteranges" {
		return checkSlice(w.Header().Get("Content-Range"), w.Body.Bytes(), blob)
	}
	for parts := multipart.NewReader(w.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if err := checkSlice(part.Header.Get("Content-Range"), body, blob); err != nil {
			return err
		}
	}
}

func checkSlice(contentRange string, got, blob []byte) error {
	var start, end, size int
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &start, &end, &size); err != nil {
		return fmt.Errorf("Content-Range %q: %w", contentRange, err)
	}
	if size != len(blob) || !bytes.Equal(got, blob[start:end+1]) {
		return fmt.Errorf("%q is not what was sent, %d bytes", contentRange, len(got))
	}
	return nil
}

// FuzzAccept checks that no Accept header changes the answer.
func FuzzAccept(f *testing.F) {
	f.Add("*/*", "application/vnd.oci.image.index.v1+json;q=0")
	f.Add("\"", ";;q=,/")
	backend, m, _ := newFake()
	h := backend.handler()
	f.Fuzz(func(t *testing.T, first, second string) {
		w := call(h, http.MethodGet, "/v2/"+testRepo+"/manifests/"+testTag, "Accept", first, "Accept", second)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != m.MediaType ||
			!bytes.Equal(w.Body.Bytes(), m.Bytes) {
			t.Errorf("%q %q: %d", first, second, w.Code)
		}
	})
}

// FuzzPath checks that whatever path is asked for gets an answer of the protocol, and that only paths in canonical form
// reach the backend.
func FuzzPath(f *testing.F) {
	f.Add("/v2/ghcr.io/a/b/manifests/stable", "ns=ghcr.io")
	f.Add("/v2/ghcr.io/../b/manifests/stable", "n=1&last=%zz")
	f.Add("/v2/%67hcr.io/a/blobs/sha256%3Aabc", "")
	f.Add("/v2/_catalog", "n=0")
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		backend, _, _ := newFake()
		w := httptest.NewRecorder()
		backend.handler().ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 404, 405, 414:
		default:
			t.Errorf("%q?%q: status %d %s", path, query, w.Code, w.Body)
		}
		if repo := backend.repo; repo != (name.Repository{}) {
			if again, err := (name.Parser{}).Repository(repo.String(), ""); err != nil || again != repo {
				t.Errorf("%q?%q: repository %q: %v", path, query, repo, err)
			}
		}
	})
}
