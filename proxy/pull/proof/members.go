// Package proof decides which content a repository serves. The store keeps content by digest, so that repositories share it; where not
// everybody may pull from each of them, who knows a digest must not get it under another name.
package proof

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	maxMembers    = 1 << 17          // remembered, some tens of megabytes at most
	memberWrites  = 16               // records of one manifest written at once
	memberPatched = 30 * time.Second // and in all
)

// Images are manifests and blobs, whoever they belong to.
type Images interface {
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error)
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error)
	BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (url string, origin registry.Origin)
}

// Upstream knows what it has in a repository.
type Upstream interface {
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error)
	StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
}

// Losses are told that a repository missed something.
type Losses interface{ Note(repo name.Repository) }

// Options are what Members are made of.
type Options struct {
	Images   Images
	Upstream Upstream
	Records  *catalog.Table[catalog.ContentKey, struct{}]
	Losses   Losses
	// On reports whether there are rules. While it returns false all content is everybody's, and nothing is noted.
	On func() bool
	// Explain gives an error the registry's words; notFound is for what the upstream does not have.
	Explain func(err error, notFound func(string) *registry.Error) error
	Logger  *slog.Logger
}

// Members serves content under the names of the repositories that it belongs to, and no others. Content belongs to a repository when a
// manifest that was served there names it, or when the upstream has it there. It is safe for concurrent use.
type Members struct {
	Options
	known *lru.Cache[catalog.ContentKey, struct{}]
}

var (
	_ registry.Manifests = (*Members)(nil)
	_ registry.Blobs     = (*Members)(nil)
	_ registry.Redirects = (*Members)(nil)
)

// New returns content by repository.
func New(o Options) *Members {
	known, _ := lru.New[catalog.ContentKey, struct{}](maxMembers) // fails for sizes below 1 only
	return &Members{o, known}
}

// Manifest implements registry.Manifests.
func (m *Members) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if !m.On() {
		return m.Images.Manifest(ctx, repo, ref)
	}
	if ref.IsDigest() && !m.has(ctx, repo, digest.Digest(ref)) {
		if _, err := m.Upstream.Manifest(ctx, repo, ref); err != nil {
			if notFound(err) {
				m.Losses.Note(repo)
			}
			return nil, m.Explain(err, registry.ManifestUnknown)
		}
	}
	found, err := m.Images.Manifest(ctx, repo, ref)
	if err == nil {
		m.note(ctx, repo, namedBy(found)...)
	}
	return found, err
}

// namedBy lists a manifest and what it refers to.
func namedBy(m *registry.Manifest) []digest.Digest {
	out := []digest.Digest{m.Digest}
	if !image.IsIndex(m.MediaType) {
		return append(out, content.BlobsOf(m.Bytes)...)
	}
	idx, err := image.ParseIndex(m.Bytes)
	if err != nil {
		return out // the upstream has the rest
	}
	for _, child := range idx.Images(nil) {
		out = append(out, child.Digest)
	}
	return out
}

// StatBlob implements registry.Blobs.
func (m *Members) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	if err := m.admit(ctx, repo, d); err != nil {
		return 0, err
	}
	return m.Images.StatBlob(ctx, repo, d)
}

// OpenBlob implements registry.Blobs.
func (m *Members) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	if err := m.admit(ctx, repo, d); err != nil {
		return nil, err
	}
	return m.Images.OpenBlob(ctx, repo, d)
}

// BlobURL implements registry.Redirects.
func (m *Members) BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (url string, origin registry.Origin) {
	if m.admit(r.Context(), repo, d) != nil {
		return "", "" // OpenBlob says why
	}
	return m.Images.BlobURL(r, repo, d)
}

// admit returns nil for a blob that belongs to a repository. What is not known to, the upstream is asked about: neither the store nor
// a download for another repository counts.
func (m *Members) admit(ctx context.Context, repo name.Repository, d digest.Digest) error {
	if !m.On() || m.has(ctx, repo, d) {
		return nil
	}
	if _, err := m.Upstream.StatBlob(ctx, repo, d); err != nil {
		return m.missed(repo, err)
	}
	m.note(ctx, repo, d)
	return nil
}

func memberKey(repo name.Repository, d digest.Digest) catalog.ContentKey {
	return catalog.ContentKey{Repository: repo.String(), Digest: d}
}

func (m *Members) remembers(key catalog.ContentKey) bool {
	_, ok := m.known.Get(key)
	return ok
}

func (m *Members) remember(key catalog.ContentKey) { m.known.Add(key, struct{}{}) }

// has reports whether content is known to belong to a repository. A record that cannot be read is none.
func (m *Members) has(ctx context.Context, repo name.Repository, d digest.Digest) bool {
	key := memberKey(repo, d)
	if m.remembers(key) {
		return true
	}
	rec, err := m.Records.Get(ctx, key)
	if err != nil {
		m.Logger.WarnContext(ctx, "record could not be read", "kind", "member", "key", key.String(), "error", err)
	}
	if rec != nil {
		m.remember(key)
	}
	return rec != nil
}

// note records that content belongs to a repository, for all replicas and later. Who is served does not depend on it: what could not
// be written is remembered here, and the upstream knows the rest.
func (m *Members) note(ctx context.Context, repo name.Repository, content ...digest.Digest) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), memberPatched)
	defer stop()
	var g errgroup.Group
	g.SetLimit(memberWrites)
	for _, d := range content {
		key := memberKey(repo, d)
		if d.Validate() != nil || m.remembers(key) {
			continue
		}
		m.remember(key)
		g.Go(func() error {
			if rec, err := m.Records.Get(ctx, key); rec != nil || err != nil {
				return err
			}
			return m.Records.Put(ctx, key, &struct{}{})
		})
	}
	if err := g.Wait(); err != nil {
		m.Logger.WarnContext(ctx, "it could not be noted what belongs to a repository", "repository", repo.String(), "error", err)
	}
}

// missed notes what the upstream does not have, for a client who wants a blob.
func (m *Members) missed(repo name.Repository, err error) error {
	if notFound(err) {
		m.Losses.Note(repo)
	}
	return m.Explain(err, registry.BlobUnknown)
}

func notFound(err error) bool {
	var up *upstream.Error
	return errors.As(err, &up) && up.Kind == upstream.NotFound
}
