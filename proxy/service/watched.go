package service

import (
	"context"

	"github.com/strata-oci/strata/proxy/name"
)

// Known returns the repositories that were pulled through, "host/path", sorted.
func (o Operator) Known(ctx context.Context) ([]string, error) {
	return o.s.repositories(ctx)
}

// UpstreamTags returns the tags that a repository has upstream, sorted.
func (o Operator) UpstreamTags(ctx context.Context, repository string) ([]string, error) {
	repo, err := o.s.Names.Repository(repository, "")
	if err != nil {
		return nil, err
	}
	return o.s.upstreamTags(ctx, repo)
}

// Pulled reports whether a tag was pulled through.
func (o Operator) Pulled(ctx context.Context, repository, tag string) bool {
	repo, err := o.s.Names.Repository(repository, "")
	if err != nil {
		return false
	}
	rec, err := o.s.tag(ctx, repo, name.Reference(tag))
	return rec != nil && err == nil
}
