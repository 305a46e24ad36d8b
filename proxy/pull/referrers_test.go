package pull

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
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

// listed is what is known of what refers to an image.
type listed map[digest.Digest]string

func (listed) Tag(context.Context, name.Repository, name.Reference) (*registry.Manifest, bool) {
	return nil, false
}

func (l listed) Referrers(_ context.Context, _ name.Repository, d digest.Digest) ([]byte, bool) {
	list, known := l[d]
	return []byte(list), known
}

func (listed) NoteAbsent(context.Context, name.Repository, name.Reference) {}

// What is known of what refers to an image is listed while the upstream is out of reach; of others the error is told.
func TestKnownReferrers(t *testing.T) {
	t.Parallel()
	repo, image := nametest.Repository("registry.example/os"), digest.FromString("image")
	l := &Lists{ListOptions: ListOptions{Upstream: unreachable{}, About: listed{image: "index"}}}
	b, filtered, err := l.Referrers(t.Context(), repo, image, "a/type")
	if string(b) != "index" || filtered || err != nil {
		t.Errorf("%q, %v, %v", b, filtered, err)
	}
	if b, _, err := l.Referrers(t.Context(), repo, digest.FromString("other"), ""); err == nil {
		t.Errorf("%q", b)
	}
}
