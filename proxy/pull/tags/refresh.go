package tags

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Refresh asks the upstream now, whatever the rule says, and waits until a new version is made. An image that could not
// be rechunked is an error.
func (t *Tags) Refresh(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error) {
	got, err := t.checkNow(ctx, repo, tag, t.Rule(repo.String()))
	if err != nil {
		return nil, err
	}
	rec := got.rec
	if u := got.update; u != nil {
		select {
		case <-u.ended:
			if rec, err = u.rec, u.err; err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if f := rec.Failure; f != nil && f.Refused {
		return nil, fmt.Errorf("%s; it is checked again after %s", f.Error, f.RetryAt.Format(time.RFC3339))
	}
	if f := rec.Failure; f != nil {
		return nil, fmt.Errorf("it was not rechunked, which is tried again after %s: %s", f.RetryAt.Format(time.RFC3339),
			f.Error)
	}
	return t.show(ctx, repo, rec, served(rec))
}

// Pulled reports whether a tag was pulled through.
func (t *Tags) Pulled(ctx context.Context, repo name.Repository, tag name.Reference) bool {
	rec, err := t.record(ctx, repo, tag)
	return rec != nil && err == nil
}

// Served says in the registry's words what a tag's record stands for.
func Served(rec *catalog.Tag) registry.Served { return served(rec) }
