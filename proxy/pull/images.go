// Package pull is the door between the registry and the rooms in which a pull is answered: tags, jobs and content. It
// gives clients' errors the registry's words, counts what is pulled, and answers from memory while the store cannot be
// reached.
package pull

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

// Tags resolve tags.
type Tags interface {
	// Resolve returns what a tag stands for now.
	Resolve(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error)
}

// Manifests have manifests by digest.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// Blobs have layers and configs.
type Blobs interface {
	Stat(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	// Open opens a blob. Who wants no more than asked bytes of it says so; 0 stands for all.
	Open(ctx context.Context, repo name.Repository, d digest.Digest, asked int64) (registry.Blob, error)
	// URL returns where a client can get a stored blob, or nothing.
	URL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin)
	// NoteMade remembers the blobs of an image that was made here and is being served.
	NoteMade(m *registry.Manifest)
}

// Tally counts pulls.
type Tally interface {
	// Manifest counts a pull of an image, and finds out its layers when it needs to know them.
	Manifest(d digest.Digest, layers func() []digest.Digest)
}

// Guard says which images may be shown, by their signatures.
type Guard interface {
	// Policy names what the images of a repository, "host/path", are checked by; "" says that they are not.
	Policy(repository string) string
	// Admit returns nil for an image that may be shown under a tag, or, without one, by its digest.
	Admit(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) error
}

// Admitted knows what repositories may give that ask for signatures.
type Admitted interface {
	// Note remembers that a manifest is shown that passed by a policy.
	Note(ctx context.Context, repo name.Repository, policy string, m *registry.Manifest)
	// Has reports whether a manifest that is shown names content.
	Has(ctx context.Context, repo name.Repository, policy string, d digest.Digest) bool
}

// Signatures are those of images that were made here.
type Signatures interface {
	// Signature returns the signature image that a tag of cosign stands for. ours is false for all tags but those of
	// images that were made here.
	Signature(ctx context.Context, repo name.Repository, tag name.Reference) (m *registry.Manifest, ours bool, err error)
	// Document returns a signature image or a bundle's manifest by its digest, or nil.
	Document(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Origin returns the tag that is asked for instead of one: what is said of the source of an image that was made here.
	Origin(ctx context.Context, repo name.Repository, tag name.Reference) name.Reference
}

// Known is what is known of what upstreams have about images.
type Known interface {
	// Tag returns the manifest that a tag about an image led to when its upstream was last asked. known says that it was:
	// then nil says that there was none.
	Tag(ctx context.Context, repo name.Repository, tag name.Reference) (m *registry.Manifest, known bool)
	// Referrers is Tag for the list of what refers to an image.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest) (list []byte, known bool)
	// NoteAbsent remembers that an upstream has nothing under a tag about an image.
	NoteAbsent(ctx context.Context, repo name.Repository, tag name.Reference)
}

// Cache has manifests in memory.
type Cache interface {
	Get(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Options are what Images are made of.
type Options struct {
	Tags      Tags
	Manifests Manifests
	Blobs     Blobs
	Tally     Tally
	// Guard and Signatures may be nil: nothing is checked, nothing signed. Admitted is needed with Guard.
	Guard      Guard
	Admitted   Admitted
	Signatures Signatures
	// About answers for tags about images while upstreams don't; nil: nothing does.
	About Known
	// Cache is the store's, for answers while it cannot be reached.
	Cache Cache
}

// Images are manifests and blobs as clients pull them. They are safe for concurrent use.
type Images struct {
	Options
	answers answers
}

var (
	_ registry.Manifests = (*Images)(nil)
	_ registry.Blobs     = (*Images)(nil)
	_ registry.Redirects = (*Images)(nil)
)

// NewImages returns images.
func NewImages(o Options) *Images { return &Images{o, newAnswers()} }

// Manifest implements registry.Manifests.
func (i *Images) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if m, ours, err := i.signature(ctx, repo, ref); ours {
		return m, ClientError(err, registry.ManifestUnknown)
	}
	policy := i.Policy(repo) // before it is asked: what passed by an older one never counts for a newer
	m, err := i.find(ctx, repo, ref)
	if err != nil && i.About != nil {
		m, err = i.known(ctx, repo, ref, err)
	}
	if err == nil {
		i.answers.note(repo, ref, policy, m)
		if policy != "" {
			i.Admitted.Note(ctx, repo, policy, m)
		}
	} else if m = i.fromMemory(ctx, repo, ref, err); m == nil {
		return nil, ClientError(err, registry.ManifestUnknown)
	}
	if m.Origin == registry.MadeHere {
		i.Blobs.NoteMade(m)
	}
	i.Tally.Manifest(m.Digest, func() []digest.Digest { return layersMade(m) })
	return m, nil
}

// known answers for a tag about an image in place of an upstream that could not be asked: with what it led to, or had not,
// when it last was. What nobody ever asked for nobody knows, so that the failure stands.
func (i *Images) known(ctx context.Context, repo name.Repository, ref name.Reference, cause error) (*registry.Manifest,
	error) {
	if ref.IsDigest() || !ref.AboutImage() || ctx.Err() != nil {
		return nil, cause
	}
	if i.Signatures != nil {
		ref = i.Signatures.Origin(ctx, repo, ref)
	}
	if upstream.Is(cause, upstream.NotFound) {
		i.About.NoteAbsent(ctx, repo, ref)
	}
	if !unanswered(cause) {
		return nil, cause
	}
	m, known := i.About.Tag(ctx, repo, ref)
	switch {
	case !known:
		return nil, cause
	case m == nil:
		return nil, registry.ManifestUnknown(repo.Host() + " had none when it was last asked").WithCause(cause)
	}
	if i.Guard != nil {
		if err := i.Guard.Admit(ctx, repo, ref, m); err != nil {
			return nil, err
		}
	}
	shown := *m
	shown.Served = registry.Stale
	return &shown, nil
}

// Shown returns nil for an image, by its digest, that clients of a repository may have, by proof and signature.
func (i *Images) Shown(ctx context.Context, repo name.Repository, d digest.Digest) error {
	_, err := i.find(ctx, repo, name.Reference(d))
	return err
}

// find returns the image that a reference stands for, if it may be shown.
func (i *Images) find(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	if !ref.IsDigest() {
		if i.Signatures != nil {
			ref = i.Signatures.Origin(ctx, repo, ref)
		}
		return i.Tags.Resolve(ctx, repo, ref)
	}
	m, err := i.Manifests.Get(ctx, repo, digest.Digest(ref))
	if err == nil && i.Guard != nil {
		err = i.Guard.Admit(ctx, repo, "", m)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// signature answers for what was signed here.
func (i *Images) signature(ctx context.Context, repo name.Repository, ref name.Reference) (m *registry.Manifest, ours bool,
	err error) {
	if i.Signatures == nil {
		return nil, false, nil
	}
	if !ref.IsDigest() {
		return i.Signatures.Signature(ctx, repo, ref)
	}
	m, err = i.Signatures.Document(ctx, repo, digest.Digest(ref))
	return m, m != nil || err != nil, err
}

// Policy names what a repository's images are checked by; "" says that they are not. It changes when keys do.
func (i *Images) Policy(repo name.Repository) string {
	if i.Guard == nil {
		return ""
	}
	return i.Guard.Policy(repo.String())
}

// layersMade lists the layers of an image that was rechunked: only what was planned here is counted.
func layersMade(m *registry.Manifest) []digest.Digest {
	if m.Origin != registry.MadeHere || image.IsIndex(m.MediaType) {
		return nil
	}
	blobs := content.BlobsOf(m.Bytes)
	return blobs[min(1, len(blobs)):] // the config comes first
}

// given returns nil for a blob that a repository may give. One that asks for signatures gives what its images name that have
// some, and nothing else, whatever is stored or at the upstream.
func (i *Images) given(ctx context.Context, repo name.Repository, d digest.Digest) error {
	policy := i.Policy(repo)
	if policy == "" || i.Admitted.Has(ctx, repo, policy, d) {
		return nil
	}
	return registry.DeniedByPolicy("no image that is shown of this repository names the blob: one that is signed as configured has" +
		" to be asked for first")
}

// StatBlob implements registry.Blobs.
func (i *Images) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	if err := i.given(ctx, repo, d); err != nil {
		return 0, err
	}
	n, err := i.Blobs.Stat(ctx, repo, d)
	return n, ClientError(err, registry.BlobUnknown)
}

// OpenBlob implements registry.Blobs.
func (i *Images) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	return i.OpenRanges(ctx, repo, d, 0)
}

// OpenRanges implements registry.Blobs; 0 bytes stand for all.
func (i *Images) OpenRanges(ctx context.Context, repo name.Repository, d digest.Digest, asked int64) (registry.Blob,
	error) {
	if err := i.given(ctx, repo, d); err != nil {
		return nil, err
	}
	b, err := i.Blobs.Open(ctx, repo, d, asked)
	if err != nil {
		return nil, ClientError(err, registry.BlobUnknown)
	}
	return b, nil
}

// BlobURL implements registry.Redirects.
func (i *Images) BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin) {
	if i.given(r.Context(), repo, d) != nil {
		return "", "" // and the blob is refused
	}
	return i.Blobs.URL(r, repo, d)
}
