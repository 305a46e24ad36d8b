package airgap

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/name"
)

// about adds what is signed and attested of a manifest: by cosign's tags and by referrers. What cannot be had, because the
// registry behind a proxy is away, is told; the image itself is worth a file.
func (e *export) about(ctx context.Context, d digest.Digest, depth int) error {
	if depth >= maxDepth {
		return nil
	}
	for _, suffix := range cosignSuffixes {
		tag := string(name.TagAbout(d, suffix))
		desc, raw, err := e.asked.Tag(ctx, tag)
		if errors.Is(err, imageref.ErrNotFound) {
			continue
		}
		if err == nil {
			err = e.artifact(ctx, e.repo+":"+tag, desc, raw)
		}
		if err := e.missing(ctx, tag, err); err != nil {
			return err
		}
	}
	list, err := e.asked.Referrers(ctx, d)
	if err := e.missing(ctx, "what refers to "+d.String(), err); err != nil {
		return err
	}
	for _, r := range list {
		if e.seen[r.Digest] != nil {
			continue
		}
		raw, err := e.asked.Document(ctx, r)
		if err == nil {
			err = e.artifact(ctx, "", r, raw)
		}
		if err := e.missing(ctx, fmt.Sprintf("%s, which refers to %s", r.Digest, d), err); err != nil {
			return err
		}
		if err == nil {
			if err := e.about(ctx, r.Digest, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing notes what could not be had. It returns what ends the export: that it is too much, or was called off.
func (e *export) missing(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrTooLarge) || len(e.report.Missing) >= maxArtifacts:
		return fmt.Errorf("%s: %w", what, err)
	}
	if len(e.report.Missing) == 0 {
		// The registry behind a proxy is away. What the proxy has it gives at once, and for the rest nobody waits again.
		hurried, err := e.from.Impatient()
		if err != nil {
			return err
		}
		e.asked = hurried
	}
	e.report.Missing = append(e.report.Missing, Missing{what, fmt.Sprintf("%.*s", maxWhy, err.Error())})
	return nil
}

// artifact adds what belongs to an image, if all of it can be had.
func (e *export) artifact(ctx context.Context, named string, desc ocispec.Descriptor, raw []byte) error {
	if e.found++; e.found > maxArtifacts {
		return fmt.Errorf("%w: more than %d signatures, attestations and the like", ErrTooLarge, maxArtifacts)
	}
	n, bytes := len(e.all), e.bytes
	m, err := e.tree(ctx, desc, raw, e.asked.Document, 0)
	if err == nil {
		err = e.stage(ctx, e.all[n:])
	}
	if err != nil {
		e.back(n, bytes)
		return err
	}
	m.ArtifactType = desc.ArtifactType
	e.enter(named, m.Descriptor)
	return nil
}

// stage fetches the blobs of manifests ahead: a file with half a signature is worth less than one without.
func (e *export) stage(ctx context.Context, of []*document) error {
	for _, b := range (&documents{all: of}).blobs() {
		if e.staged.has(b.Digest) || e.left[b.Digest] {
			continue
		}
		r, err := e.asked.Blob(ctx, b.Digest, b.Size)
		if err == nil {
			err = closing(e.staged.PutBlob(ctx, b, r), r)
		}
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	return nil
}
