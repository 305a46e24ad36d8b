package pull

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

// unreachable is an upstream that nobody reaches.
type unreachable struct{}

func (unreachable) Tags(context.Context, name.Repository) ([]string, error) {
	return nil, &upstream.Error{Kind: upstream.Unavailable}
}

func (unreachable) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	return nil, false, &upstream.Error{Kind: upstream.Unavailable}
}

type oneManifest registry.Manifest

func (m *oneManifest) Stored(_ context.Context, _ name.Repository, d digest.Digest) (*registry.Manifest, error) {
	if d != m.Digest {
		return nil, nil
	}
	return (*registry.Manifest)(m), nil
}

// What came with an image by a file is listed while the upstream is out of reach; of others the error is told.
func TestImportedReferrers(t *testing.T) {
	t.Parallel()
	chunks := storetest.InMemory(t)
	repo, err := name.Parser{}.Repository("registry.example/os", "")
	if err != nil {
		t.Fatal(err)
	}
	image, index := digest.FromString("image"), digest.FromString("index")
	records := catalog.New(chunks, nil)
	tag := catalog.TagKey{Repository: repo.String(), Tag: "sha256-" + image.Encoded()}
	rec := &catalog.Tag{SourceDigest: index, Digest: index, SourceType: ocispec.MediaTypeImageIndex,
		MediaType: ocispec.MediaTypeImageIndex, Served: catalog.Original}
	if err := records.Tags.Put(t.Context(), tag, rec); err != nil {
		t.Fatal(err)
	}
	l := &Lists{ListOptions: ListOptions{Upstream: unreachable{}, Pulled: records.Tags,
		Manifests: &oneManifest{Digest: index, Bytes: []byte("index")}}}
	b, filtered, err := l.Referrers(t.Context(), repo, image, "a/type")
	if string(b) != "index" || filtered || err != nil {
		t.Errorf("%q, %v, %v", b, filtered, err)
	}
	if b, _, err := l.Referrers(t.Context(), repo, digest.FromString("other"), ""); err == nil {
		t.Errorf("%q", b)
	}
}
