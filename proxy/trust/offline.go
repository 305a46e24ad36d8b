package trust

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// Offline looks for signatures in the store while the upstream is out of reach: where strata import puts them. What is found
// there is checked like anything else, so that who signed decides, and not where the signature lay. An upstream that answers
// is believed: that it has no signature is no outage.
type Offline struct {
	verify.Source
	Tags      *catalog.Table[catalog.TagKey, catalog.Tag]
	Manifests Stored
	Proofs    interface {
		Has(ctx context.Context, repo name.Repository, d digest.Digest) bool
	}
	Chunks *chunkstore.Store
}

// unreachable reports whether nobody answered.
func unreachable(ctx context.Context, err error) bool {
	var up *upstream.Error
	return err != nil && ctx.Err() == nil && errors.As(err, &up) &&
		(up.Kind == upstream.Unavailable || up.Kind == upstream.Timeout)
}

// Manifest implements verify.Source, and so do the next two.
func (o *Offline) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	got, err := o.Source.Manifest(ctx, repo, ref)
	if !unreachable(ctx, err) {
		return got, err
	}
	if have := o.stored(ctx, repo, ref); have != nil {
		return *have, nil
	}
	return got, err
}

// stored returns what a digest, or a tag that was imported, leads to; nil for nothing.
func (o *Offline) stored(ctx context.Context, repo name.Repository, ref name.Reference) *client.Manifest {
	d := digest.Digest(ref)
	if !ref.IsDigest() {
		rec, err := o.Tags.Get(ctx, catalog.TagKey{Repository: repo.String(), Tag: string(ref)})
		if rec == nil || err != nil {
			return nil
		}
		d = rec.SourceDigest
	}
	m, err := o.Manifests.Stored(ctx, repo, d)
	if m == nil || err != nil {
		return nil
	}
	return &client.Manifest{MediaType: m.MediaType, Digest: d, Bytes: m.Bytes}
}

// Referrers returns the list under the tag that the OCI distribution specification falls back to.
func (o *Offline) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	list, filtered, err := o.Source.Referrers(ctx, repo, d, artifactType)
	if !unreachable(ctx, err) {
		return list, filtered, err
	}
	if have := o.stored(ctx, repo, name.Reference(d.Algorithm().String()+"-"+d.Encoded())); have != nil {
		return have.Bytes, false, nil
	}
	return list, filtered, err
}

// Blob opens a stored blob that the repository was proven to have.
func (o *Offline) Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64,
	error) {
	rc, n, err := o.Source.Blob(ctx, repo, d, size)
	if !unreachable(ctx, err) || !o.Proofs.Has(ctx, repo, d) {
		return rc, n, err
	}
	stored, serr := o.Chunks.Open(ctx, d)
	if serr != nil {
		return nil, 0, err
	}
	return stored, size, nil
}
