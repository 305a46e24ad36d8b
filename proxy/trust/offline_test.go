package trust_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// silent is an upstream that answers everything with one kind of error.
type silent upstream.Kind

func (s silent) fail() error { return &upstream.Error{Kind: upstream.Kind(s)} }

// Manifest implements verify.Source, and so do the next two.
func (s silent) Manifest(context.Context, name.Repository, name.Reference) (client.Manifest, error) {
	return client.Manifest{}, s.fail()
}

// Referrers fails.
func (s silent) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	return nil, false, s.fail()
}

// Blob fails.
func (s silent) Blob(context.Context, name.Repository, digest.Digest, int64) (io.ReadCloser, int64, error) {
	return nil, 0, s.fail()
}

// inStore has what is stored, and proofs of all.
type inStore struct{ chunks *chunkstore.Store }

// Stored implements trust.Stored.
func (s inStore) Stored(ctx context.Context, _ name.Repository, d digest.Digest) (*registry.Manifest, error) {
	b, err := s.chunks.Get(ctx, d, 1<<20)
	if err != nil {
		return nil, nil //nolint:nilerr // it is not there
	}
	mediaType := ocispec.MediaTypeImageManifest
	if string(b) == "list" {
		mediaType = ocispec.MediaTypeImageIndex
	}
	return &registry.Manifest{MediaType: mediaType, Digest: d, Bytes: b}, nil
}

// Has implements trust.Proofs.
func (inStore) Has(context.Context, name.Repository, digest.Digest) bool { return true }

// What was imported is looked at while nobody answers, and not where the upstream says that it has nothing.
func TestOffline(t *testing.T) {
	t.Parallel()
	chunks := storetest.InMemory(t)
	repo, records := nametest.Repository("registry.test/org/os"), catalog.New(chunks, nil)
	d, err := chunks.Put(t.Context(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := chunks.Put(t.Context(), []byte("list"))
	if err != nil {
		t.Fatal(err)
	}
	about := digest.FromString("image")
	for suffix, d := range map[string]digest.Digest{"": list, ".sig": d} {
		key := catalog.TagKey{Repository: repo.String(), Tag: "sha256-" + about.Encoded() + suffix}
		if err := records.Tags.Put(t.Context(), key, &catalog.Tag{SourceDigest: d, Digest: d,
			SourceType: ocispec.MediaTypeImageManifest, MediaType: ocispec.MediaTypeImageManifest,
			Served: catalog.Original, CheckedAt: time.Now(), UpdatedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	known := trust.NewKnown(trust.KnownOptions{Records: records.Evidence, Tags: records.Tags, Manifests: inStore{chunks},
		Documents: trust.NewDocuments(trust.DocumentOptions{Enabled: func(string) bool { return true }, Chunks: chunks,
			Records: records.Signatures, Evidence: records.Evidence, Logger: log, Now: time.Now}),
		Logger: log, Now: time.Now})
	for kind, want := range map[upstream.Kind]bool{
		upstream.Unavailable: true, upstream.Timeout: true, upstream.NotFound: false, upstream.Denied: false,
		upstream.Invalid: false,
	} {
		o := &trust.Offline{Source: silent(kind), Known: known, Proofs: inStore{chunks}, Chunks: chunks}
		m, err := o.Manifest(t.Context(), repo, name.Reference("sha256-"+about.Encoded()+".sig"))
		if (err == nil && m.Digest == d) != want {
			t.Errorf("%s: tag: %v, %v", kind, m.Digest, err)
		}
		if _, err := o.Manifest(t.Context(), repo, "none"); err == nil {
			t.Errorf("%s: a tag that nobody knows", kind)
		}
		if b, _, err := o.Referrers(t.Context(), repo, about, ""); (err == nil && string(b) == "list") != want {
			t.Errorf("%s: referrers: %q, %v", kind, b, err)
		}
		rc, _, err := o.Blob(t.Context(), repo, d, 9)
		if (err == nil) != want {
			t.Errorf("%s: blob: %v", kind, err)
		}
		if err == nil {
			_ = rc.Close()
		}
	}
}
