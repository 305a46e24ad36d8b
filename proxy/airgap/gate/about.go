package gate

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/upstream"
)

// displaces returns an error for what is said of an image that may not take the place of what is stored under its tag. In a
// repository that asks for signatures, one that is signed as configured may; of attestations and lists nobody can tell. What
// is said of an image that a Strata made is by the keys of that one, and not held to a configuration.
func (g *Gate) displaces(ctx context.Context, b airgap.Brought) error {
	of, kind, ok := b.Tag.About()
	if !ok {
		return nil
	}
	m, err := g.held.Get(ctx, b.Repository, of)
	if err != nil && !upstream.Absent(err) {
		return err
	}
	if m != nil && m.Origin == registry.MadeHere {
		if g.Signs && kind != "" {
			return errors.New("the proxy signs the image itself, and answers for this tag by that")
		}
		return nil
	}
	if g.Force || g.guard.Policy(b.Repository.String()) == "" {
		return nil
	}
	stored, err := g.stored(ctx, b)
	if err != nil || stored == "" || stored == b.Image.Digest {
		return err
	}
	why := fmt.Errorf("%w: whether it is cannot be told", trust.ErrRefused)
	if kind == ".sig" {
		why = g.guard.Signature(ctx, b.Repository, of)
	}
	if why == nil || !errors.Is(why, trust.ErrRefused) {
		return why
	}
	return fmt.Errorf("what is stored stays, %s, and --force replaces it: %w", stored, why)
}

// stored is what a tag about an image stands for before the import: by the tag, or by what is kept of the upstream's.
func (g *Gate) stored(ctx context.Context, b airgap.Brought) (digest.Digest, error) {
	repository := b.Repository.String()
	tag, err := g.Records.Tags.Get(ctx, catalog.TagKey{Repository: repository, Tag: string(b.Tag)})
	if err != nil {
		return "", err
	}
	if tag != nil {
		return tag.SourceDigest, nil
	}
	of, kind, _ := b.Tag.About()
	kept, err := g.Records.Evidence.Get(ctx, catalog.ContentKey{Repository: repository, Digest: of})
	if kept == nil || err != nil {
		return "", err
	}
	switch kind {
	case ".sig":
		return kept.Image, nil
	case "":
		return kept.Referrers, nil
	}
	return "", nil
}
