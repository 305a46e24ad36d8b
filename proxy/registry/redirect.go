package registry

import (
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
)

// Redirects know where a client can get a blob directly. They are safe for concurrent use.
type Redirects interface {
	// BlobURL returns the URL of a stored blob for a request, or nothing when the client has to get it here. The URL is good
	// without any credentials, for a short time.
	BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (url string, origin Origin)
}

// redirectBlob sends a client to where the blob is stored, and reports whether it did.
func (h *handler) redirectBlob(w *response, r *http.Request, repo name.Repository, d digest.Digest) bool {
	if h.Redirects == nil {
		return false
	}
	url, origin := h.Redirects.BlobURL(r, repo, d)
	if url == "" {
		return false
	}
	info := requestInfo(r)
	info.Origin = origin
	// What the client fetches there is not seen here: whoever asks for all of a blob counts as having got it.
	info.ToEnd = r.Header.Get("Range") == ""
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Cache-Control", "no-store") // the URL ends sooner than the blob
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}
