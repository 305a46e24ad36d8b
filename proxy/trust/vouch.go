package trust

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

// vouch records that the images of an index pass by it: all that a signed one names, and those that were checked of one
// that is not signed itself.
func (g *Guard) vouch(ctx context.Context, repo name.Repository, m *registry.Manifest, p *policy, of *catalog.Verdict,
	found *verify.Verdict) error {
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return fmt.Errorf("reading a signed index: %w", err)
	}
	var children []digest.Digest
	if of.How == string(verify.ByParts) {
		for _, child := range idx.Images(nil) {
			children = append(children, child.Digest)
		}
	} else {
		for _, child := range idx.Manifests() {
			children = append(children, child.Digest)
		}
	}
	for _, child := range children {
		rec := *of
		if part := found.Parts[child]; part != nil {
			pass(&rec, repo.String(), p, part)
		}
		rec.How, rec.Via = string(verify.ByIndex), m.Digest
		key := catalog.ContentKey{Repository: repo.String(), Digest: child}
		if err := g.Verdicts.Put(ctx, key, &rec); err != nil {
			return fmt.Errorf("recording the verdict on an index's image: %w", err)
		}
	}
	return nil
}

// again checks an index that vouched for an image under another policy, and returns the verdict on the image if there is a
// new one.
func (g *Guard) again(ctx context.Context, key catalog.ContentKey, repo name.Repository,
	index digest.Digest, p *policy) (*catalog.Verdict, error) {
	m, err := g.Manifests.Get(ctx, repo, index)
	if upstream.Absent(err) {
		return nil, nil // and the image may have a signature of its own
	}
	if err != nil {
		return nil, fmt.Errorf("fetching the index, whose signature is to be checked: %w", err)
	}
	of := catalog.ContentKey{Repository: key.Repository, Digest: index}
	vouched, err := g.check(ctx, of, repo, m, p)
	if err != nil || !vouched.Passed {
		return nil, err
	}
	if vouched.How == string(verify.ByTag) || vouched.How == string(verify.ByBundle) {
		// The index is signed itself, so it speaks for all that it names, also where its own verdict stood.
		if rec, err := g.named(ctx, key, m, vouched); rec != nil || err != nil {
			return rec, err
		}
	}
	rec, err := g.Verdicts.Get(ctx, key)
	if err != nil || rec == nil || !g.stands(key.Repository, rec, p) {
		return nil, err
	}
	return rec, nil
}

// named records that an image passes by a signed index, if that names it.
func (g *Guard) named(ctx context.Context, key catalog.ContentKey, m *registry.Manifest,
	of *catalog.Verdict) (*catalog.Verdict, error) {
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a signed index: %w", err)
	}
	if !slices.ContainsFunc(idx.Manifests(), func(d ocispec.Descriptor) bool { return d.Digest == key.Digest }) {
		return nil, nil
	}
	rec := *of
	rec.How, rec.Via = string(verify.ByIndex), m.Digest
	if err := g.Verdicts.Put(ctx, key, &rec); err != nil {
		return nil, fmt.Errorf("recording the verdict on an index's image: %w", err)
	}
	return &rec, nil
}
