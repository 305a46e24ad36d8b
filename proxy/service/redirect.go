package service

import (
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// BlobURL implements registry.Redirects: a signed URL of the storage backend, for a blob that is stored. When anything stands in the
// way, the client gets the blob here.
func (s *Service) BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin) {
	if _, err := s.Chunks.Stat(r.Context(), d); err != nil {
		return "", ""
	}
	url, err := s.Chunks.RedirectURL(r, d)
	if err != nil {
		s.Logger.WarnContext(r.Context(), "blob could not be redirected and is served", "repository", repo.String(), "digest", d.String(), "error", err)
		return "", ""
	}
	return url, s.storedOrigin(d)
}
