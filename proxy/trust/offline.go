package trust

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// Offline looks for signatures in the store while the upstream is out of reach: where strata import puts them, and checks
// keep them. What is found there is checked like anything else, so that who signed decides, and not where the signature lay.
// An upstream that answers is believed: that it has no signature is no outage.
type Offline struct {
	verify.Source
	Known  *Known
	Proofs interface {
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
	if ref.IsDigest() {
		m, serr := o.Known.Manifests.Stored(ctx, repo, digest.Digest(ref))
		if m == nil && serr == nil {
			m, serr = o.Known.Documents.Kept(ctx, repo, digest.Digest(ref))
		}
		if m == nil || serr != nil {
			return got, err
		}
		return client.Manifest{MediaType: m.MediaType, Digest: m.Digest, Bytes: m.Bytes}, nil
	}
	m, known := o.Known.Tag(ctx, repo, ref)
	switch {
	case m != nil:
		return client.Manifest{MediaType: m.MediaType, Digest: m.Digest, Bytes: m.Bytes}, nil
	case known:
		return got, &upstream.Error{Kind: upstream.NotFound, Host: repo.Host(), Err: err}
	}
	return got, err
}

// Referrers returns the list that is known.
func (o *Offline) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	list, filtered, err := o.Source.Referrers(ctx, repo, d, artifactType)
	if !unreachable(ctx, err) {
		return list, filtered, err
	}
	if have, known := o.Known.Referrers(ctx, repo, d); known {
		return have, false, nil
	}
	return list, filtered, err
}

// Blob opens a stored blob that the repository was proven to have.
func (o *Offline) Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64,
	error) {
	rc, n, err := o.Source.Blob(ctx, repo, d, size)
	if !unreachable(ctx, err) {
		return rc, n, err
	}
	if kept, kerr := o.Known.Documents.Blob(ctx, repo, d); kept != nil && kerr == nil {
		return kept, kept.Size(), nil
	}
	if !o.Proofs.Has(ctx, repo, d) {
		return rc, n, err
	}
	stored, serr := o.Chunks.Open(ctx, d)
	if serr != nil {
		return nil, 0, err
	}
	return stored, size, nil
}
