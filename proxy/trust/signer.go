package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/sign"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Stored has manifests that a repository may serve.
type Stored interface {
	// Stored returns a manifest that is stored with its record and that the repository may serve, or nil.
	Stored(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// SignerOptions are what a Signer is made of; all are needed but Metrics.
type SignerOptions struct {
	// Settings returns what the configuration says of signing, and Rule the settings of a repository, "host/path".
	Settings  func() SigningSettings
	Rule      func(repository string) config.Rule
	Guard     *Guard
	Manifests Stored
	Documents *Documents
	Plans     *catalog.Table[digest.Digest, rechunk.PlanRecord]
	Metrics   interface{ Signed(err error) }
	Work      *background.Group
	Logger    *slog.Logger
	Now       func() time.Time
}

// Signer signs what is made here and keeps the signatures. It is safe for concurrent use.
type Signer struct {
	SignerOptions
	makers  *makers
	signing *background.Shared[*catalog.Signature]
}

// NewSigner makes a signer.
func NewSigner(o SignerOptions) *Signer {
	return &Signer{
		SignerOptions: o, makers: &makers{settings: o.Settings, log: o.Logger, now: o.Now},
		signing: background.NewShared[*catalog.Signature](o.Work, "sign"),
	}
}

// Sign signs a manifest that was made of a source, where that is to be. What is signed already stays.
func (s *Signer) Sign(ctx context.Context, repo name.Repository, made image.Document, source digest.Digest) error {
	_, err := s.signature(ctx, repo, &registry.Manifest{
		MediaType: made.MediaType, Digest: made.Digest, Bytes: made.Bytes, Source: source,
	}, false)
	return err
}

// allowed reports whether what was made of a source is signed: only what is known to be upstream's, or is not checked
// because the operator said so.
func (s *Signer) allowed(ctx context.Context, repo name.Repository, source digest.Digest) (bool, error) {
	rule := s.Rule(repo.String())
	if rule.Verify.Enabled() && rule.Sign != config.SignNever {
		return s.Guard.Passed(ctx, repo, source)
	}
	return rule.Sign == config.SignUnverified, nil
}

// signature returns what was signed of a manifest, and signs it where it was not or has to be again; nil where it is not
// to be signed.
func (s *Signer) signature(ctx context.Context, repo name.Repository, m *registry.Manifest, again bool) (*catalog.Signature,
	error) {
	by, err := s.makers.get()
	if by == nil || err != nil || m.Claimed {
		return nil, err
	}
	if allowed, err := s.allowed(ctx, repo, m.Source); !allowed || err != nil {
		return nil, err
	}
	key := catalog.ContentKey{Repository: repo.String(), Digest: m.Digest}
	rec, err := s.Documents.Records.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if rec != nil && rec.Maker == by.fingerprint && !again {
		whole, err := s.Documents.whole(ctx, repo, rec)
		if err != nil {
			return nil, fmt.Errorf("looking for the signature of %s: %w", m.Digest, err)
		}
		again = !whole
	}
	if rec == nil || rec.Maker != by.fingerprint || again {
		rec, err = s.signing.Do(ctx, key.String()+" "+by.fingerprint,
			func(ctx context.Context) (*catalog.Signature, error) { return s.sign(ctx, key, repo, m, by) })
		if s.Metrics != nil {
			s.Metrics.Signed(err)
		}
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", m.Digest, err)
		}
	}
	s.Documents.note(key.Repository, rec)
	return rec, nil
}

// sign signs a manifest and stores what that gives.
func (s *Signer) sign(ctx context.Context, key catalog.ContentKey, repo name.Repository, m *registry.Manifest,
	by *maker) (*catalog.Signature, error) {
	subject := sign.Subject{
		Host: repo.Host(), Path: repo.Path(), Source: m.Source,
		Manifest: ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Bytes))},
	}
	if err := s.describe(ctx, &subject); err != nil {
		return nil, err
	}
	signed, err := by.Sign(subject)
	if err != nil {
		return nil, err
	}
	rec := &catalog.Signature{Maker: by.fingerprint, Image: signed.Image.Manifest.Digest}
	for _, a := range signed.Artifacts {
		rec.Referrers = append(rec.Referrers, catalog.Referrer{
			MediaType: a.Manifest.MediaType, Digest: a.Manifest.Digest, Size: int64(len(a.Manifest.Bytes)),
			ArtifactType: a.Bundle.MediaType, Annotations: a.Annotations,
		})
	}
	return rec, s.Documents.keep(ctx, key, rec, signed)
}

// describe adds what the plan's record says of how an image was made.
func (s *Signer) describe(ctx context.Context, subject *sign.Subject) error {
	plan, err := s.Plans.Get(ctx, subject.Manifest.Digest)
	if plan == nil || err != nil {
		return err
	}
	b, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	subject.Encoder, subject.Base, subject.Plan = plan.Encoder, plan.Base, digest.FromBytes(b)
	return nil
}

// Signature returns the signature image that a tag of cosign stands for. ours is false for all tags but those of images
// that were made here. An image without signature is told as absent, whatever the cause: clients that do not ask for one
// break off at any other answer.
func (s *Signer) Signature(ctx context.Context, repo name.Repository, tag name.Reference) (_ *registry.Manifest, ours bool,
	_ error) {
	subject, ok := simplesigning.Subject(string(tag))
	if !ok || !s.Settings().Enabled() {
		return nil, false, nil
	}
	m, err := s.Manifests.Stored(ctx, repo, subject)
	if err != nil || m == nil || m.Origin != registry.MadeHere {
		return nil, false, nil
	}
	rec, err := s.signature(ctx, repo, m, false)
	var found *registry.Manifest
	if rec != nil && err == nil {
		found, err = s.Documents.Manifest(ctx, repo, rec.Image)
		if found == nil && err == nil { // what was stored is lost
			if rec, err = s.signature(ctx, repo, m, true); rec != nil && err == nil {
				found, err = s.Documents.Manifest(ctx, repo, rec.Image)
			}
		}
	}
	if err != nil {
		s.Logger.ErrorContext(ctx, "image could not be signed", "repository", repo.String(), "image", subject.String(),
			"error", err)
	}
	if found == nil {
		return nil, true, registry.ManifestUnknown("the image is not signed").WithCause(err)
	}
	return found, true, nil
}

// Document returns a signature image or a bundle's manifest by its digest, if it was signed or asked for by its tag lately,
// or nil: whoever asks next asks the records.
func (s *Signer) Document(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	if !s.Documents.lately(repo, d) {
		return nil, nil
	}
	m, err := s.Documents.Manifest(ctx, repo, d)
	if err != nil {
		return nil, nil //nolint:nilerr // whoever asks next looks elsewhere
	}
	return m, nil
}

// Origin returns the tag that is asked for instead of one of cosign: attestations and lists of contents of an image that was
// made here are those of its source, whose files it has. All other tags are their own.
func (s *Signer) Origin(ctx context.Context, repo name.Repository, tag name.Reference) name.Reference {
	subject, kind, ok := tag.About()
	if !ok || kind != ".att" && kind != ".sbom" || !s.Settings().Enabled() {
		return tag
	}
	m, err := s.Manifests.Stored(ctx, repo, subject)
	if err != nil || m == nil || m.Origin != registry.MadeHere || m.Source == "" {
		return tag
	}
	return name.TagAbout(m.Source, kind)
}

// Referrers returns what was signed of a manifest that was made here, and what it was made of: what refers to that is
// about the image, too. ours is false for all other manifests.
func (s *Signer) Referrers(ctx context.Context, repo name.Repository, d digest.Digest) (signed []catalog.Referrer,
	source digest.Digest, ours bool, err error) {
	if !s.Settings().Enabled() {
		return nil, "", false, nil
	}
	m, err := s.Manifests.Stored(ctx, repo, d)
	if err != nil || m == nil || m.Origin != registry.MadeHere {
		return nil, "", false, err
	}
	rec, err := s.signature(ctx, repo, m, false)
	if rec == nil || err != nil {
		return nil, m.Source, err == nil, err
	}
	return rec.Referrers, m.Source, true, nil
}
