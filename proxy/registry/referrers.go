package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
)

// referrers answers with the index of what refers to a digest. Nothing, or a digest that nobody knows, is the empty index: a
// 404 would tell clients that this registry lacks the API.
func (h *handler) referrers(w *response, r *http.Request, repo name.Repository, reference string,
	query url.Values) error {
	if h.Referrers == nil {
		return NotFound("this registry has no referrers API")
	}
	d, err := name.ParseDigest(reference)
	if err != nil {
		return nameError(err)
	}
	artifactType, err := single(query, "artifactType")
	if err != nil {
		return err
	}
	requestInfo(r).setReference(name.Reference(d))
	index, filtered, err := h.Referrers.Referrers(r.Context(), repo, d, artifactType)
	var known *Error
	if errors.As(err, &known) && known.Status == http.StatusNotFound {
		index, err = nil, nil
	}
	if err != nil {
		return err
	}
	if len(index) == 0 {
		index, filtered = emptyIndex(), true
	}
	if artifactType != "" {
		if !filtered {
			if index, err = filterIndex(index, artifactType); err != nil {
				return BadGateway("the upstream's list of referrers cannot be read").WithCause(err)
			}
		}
		w.Header().Set(headerFilters, "artifactType")
	}
	writeJSON(w, r, ocispec.MediaTypeImageIndex, index)
	return nil
}

func emptyIndex() []byte {
	return []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)
}

// filterIndex keeps the descriptors with an artifact type and every other field as it is.
func filterIndex(index []byte, artifactType string) ([]byte, error) {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(index, &document); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if document == nil {
		return nil, errors.New("index: null")
	}
	var all []json.RawMessage
	if manifests, ok := document["manifests"]; ok {
		if err := json.Unmarshal(manifests, &all); err != nil {
			return nil, fmt.Errorf("index, manifests: %w", err)
		}
	}
	kept := []json.RawMessage{}
	for i, descriptor := range all {
		var fields struct {
			ArtifactType string `json:"artifactType"`
		}
		if err := json.Unmarshal(descriptor, &fields); err != nil {
			return nil, fmt.Errorf("index, manifest %d: %w", i, err)
		}
		if fields.ArtifactType == artifactType {
			kept = append(kept, descriptor)
		}
	}
	manifests, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("index, manifests: %w", err)
	}
	document["manifests"] = manifests
	return json.Marshal(document)
}
