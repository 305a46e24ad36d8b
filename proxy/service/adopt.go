package service

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// adopt lets the lineage of an image begin with the image itself, where it was made by Strata already, in a build pipeline: hosts that
// pulled it from its registry have those layers. Images that carry no such annotation, and lineages that have versions, are left.
func (j *jobs) adopt(ctx context.Context, one *job, req rechunk.Request) error {
	var m ocispec.Manifest
	if json.Unmarshal(req.Manifest, &m) != nil || digest.Digest(m.Annotations[image.AnnotationSource]).Validate() != nil {
		return nil
	}
	adopted, err := j.s.engine.Adopt(ctx, req)
	log := j.s.Logger.With("job", one.id, "repository", one.repo.String(), "reference", string(one.ref), "source", one.digest.String())
	switch {
	case errors.Is(err, rechunk.ErrNotAdopted), errors.Is(err, rechunk.ErrPassThrough):
		log.InfoContext(ctx, "layers of an image that was rechunked elsewhere are not kept", "reason", err)
		return nil
	case adopted:
		log.InfoContext(ctx, "image was rechunked elsewhere: its layers begin the lineage", "lineage", req.Lineage)
	}
	return err
}
