package chunkstore

import (
	"net/http"

	"github.com/opencontainers/go-digest"
)

// RedirectURL returns a URL at which the backend itself answers a GET of stored content, good for the driver's time (20
// minutes on S3) and without any credentials; empty when the backend gives no such URLs. The backend is not asked whether
// the content is there.
func (s *Store) RedirectURL(r *http.Request, d digest.Digest) (string, error) {
	if err := checkDigest(d); err != nil {
		return "", err
	}
	url, err := s.driver.RedirectURL(r, blobPath(d))
	if err != nil {
		return "", failed("redirect to content "+string(d), err)
	}
	return url, nil
}
