package registry

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/name"
)

// manifest answers with a manifest. Its media type is the stored one; Accept is not consulted, since there is nothing to
// choose from and the specification leaves it to clients to check what they got.
func (h *handler) manifest(w *response, r *http.Request, repo name.Repository, reference string) error {
	ref, err := name.ParseRef(reference)
	if err != nil {
		return nameError(err)
	}
	info := requestInfo(r)
	info.setReference(ref)
	m, err := h.Manifests.Manifest(r.Context(), repo, ref)
	if err != nil {
		return err
	}
	if err := checkManifest(m, ref); err != nil {
		return internal(err)
	}
	info.Served, info.Origin, info.Digest, info.Earlier = m.Served, m.Origin, m.Digest, m.Earlier
	w.private = w.private || m.Staged
	setContentHeaders(w, m.MediaType, m.Digest, ref.IsDigest())
	if m.Source != "" {
		w.Header().Set(headerSource, m.Source.String())
	}
	if m.Served != "" {
		w.Header().Set(headerServed, string(m.Served))
	}
	if m.Rollout != "" {
		w.Header().Set(headerRollout, m.Rollout)
	}
	if n := int64(len(m.Bytes)); n > largeManifest {
		if !h.large.TryAcquire(n) {
			return TooManyRequests(largeRetry)
		}
		defer h.large.Release(n)
	}
	if plainRequest(r) {
		return serveWhole(w, r, m.Bytes)
	}
	return serveContent(w, r, bytes.NewReader(m.Bytes), int64(len(m.Bytes)))
}

const (
	// largeManifest is from how many bytes on a manifest counts as large; those of images with 128 layers have half as many.
	largeManifest = 64 << 10
	// largeSent bounds the bytes of large manifests on their way to clients: each is in memory until its client has taken
	// it.
	largeSent = 128 << 20
	// largeRetry is when to ask again for one that was too many.
	largeRetry = 5 * time.Second
)

// checkManifest holds the backend to its contract: what is wrong here would be wrong on every client, for as long as it
// caches.
func checkManifest(m *Manifest, ref name.Reference) error {
	if m == nil {
		return errors.New("no manifest and no error")
	}
	if _, err := name.ParseDigest(m.Digest.String()); err != nil {
		return fmt.Errorf("manifest %s: %w", ref, err)
	}
	if m.MediaType == "" {
		return fmt.Errorf("manifest %s has no media type", m.Digest)
	}
	if ref.IsDigest() && m.Digest.String() != string(ref) {
		return fmt.Errorf("asked for manifest %s, got %s", ref, m.Digest)
	}
	return nil
}
