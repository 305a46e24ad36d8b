package imageref

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/image"
)

// Bounds on what is attached to an image.
const (
	maxAttached  = 64
	maxAttachedN = 1 << 20 // bytes of each
)

// ErrNoReferrers says that nothing can refer to an image in such a place.
var ErrNoReferrers = errors.New("only images in a registry have referrers")

// Attached reads what refers to a manifest in the reference's repository, of one type of artifact: the layers of its
// manifests, verified, 64 at most and each of 1 MiB at most; what is larger is left out. It is for small documents, such as
// signatures.
func (r Ref) Attached(ctx context.Context, subject digest.Digest, artifactType string, opts Options) ([][]byte, error) {
	if r.kind != kindRegistry {
		return nil, r.describe("list what refers to", ErrNoReferrers)
	}
	c, err := newRegistryClient(r.named, opts)
	if err != nil {
		return nil, r.describe("open", err)
	}
	out, err := c.attached(ctx, subject, artifactType)
	if err = join(err, c.Close()); err != nil {
		return nil, r.describe("list what refers to", err)
	}
	return out, nil
}

func (c *registryClient) attached(ctx context.Context, subject digest.Digest, artifactType string) (out [][]byte,
	err error) {
	options := append([]remote.Option{remote.WithContext(ctx)}, c.options...)
	repository := c.ref.Context()
	list, err := remote.Referrers(repository.Digest(subject.String()), options...)
	if err != nil {
		return nil, c.fail(err)
	}
	index, err := list.IndexManifest()
	if err != nil {
		return nil, c.fail(err)
	}
	for _, m := range index.Manifests {
		if m.ArtifactType != artifactType || len(out) == maxAttached {
			continue
		}
		got, err := remote.Get(repository.Digest(m.Digest.String()), options...)
		if err != nil {
			return nil, c.fail(err)
		}
		doc, err := image.ReadManifest(got.Manifest)
		if err != nil {
			return nil, fmt.Errorf("referrer %s: %w", m.Digest, err)
		}
		for _, l := range doc.Layers {
			if l.Size > maxAttachedN || len(out) == maxAttached {
				continue
			}
			layer, err := remote.Layer(repository.Digest(l.Digest.String()), options...)
			if err != nil {
				return nil, c.fail(err)
			}
			body, err := layer.Compressed()
			if err != nil {
				return nil, c.fail(err)
			}
			b, err := io.ReadAll(verified(body, l.Digest, l.Size))
			if err = join(err, body.Close()); err != nil {
				return nil, fmt.Errorf("blob %s: %w", l.Digest, err)
			}
			out = append(out, b)
		}
	}
	return out, nil
}
