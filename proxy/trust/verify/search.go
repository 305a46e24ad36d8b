package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

// byTag looks among the signatures under cosign's tag.
func (s *search) byTag(ctx context.Context) (*Verdict, error) {
	tag := simplesigning.Tag(s.img.Digest)
	m, err := s.Source.Manifest(ctx, s.img.Repository, name.Reference(tag))
	if upstream.Absent(err) {
		s.note("there is no tag %s", tag)
		return nil, nil
	}
	if useless(err) {
		s.note("the tag %s cannot be used: %s", tag, err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetching the signatures: %w", err)
	}
	found, all, err := simplesigning.Read(m.Bytes)
	if err != nil || len(found) == 0 {
		s.note("the tag %s holds no signatures with payloads of at most %d bytes", tag, simplesigning.MaxPayload)
		return nil, nil
	}
	if all > len(found) {
		s.bound(len(found), all, "signatures")
	}
	for i, sig := range found {
		payload, err := s.blob(ctx, sig.Payload, sig.Size, simplesigning.MaxPayload)
		if upstream.Absent(err) {
			s.note("the payload of signature %d is missing", i+1)
			continue
		}
		if useless(err) {
			s.note("the payload of signature %d cannot be used: %s", i+1, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fetching a signature's payload: %w", err)
		}
		by, err := s.signer(payload, sig)
		if err == nil {
			var claim simplesigning.Claim
			if claim, err = s.claim(payload); err == nil {
				return &Verdict{By: by, How: ByTag, Claims: claim.Reference}, nil
			}
		}
		s.note("signature %d: %s", i+1, err)
	}
	return nil, nil
}

// signer returns who signed a payload, if the policy names them.
func (s *search) signer(payload []byte, sig simplesigning.Signature) (string, error) {
	if k, ok := s.key(payload, sig.Bytes); ok {
		return k.ID(), nil
	}
	switch {
	case s.Keyless == nil && len(sig.Certificate) > 0:
		return "", errors.New("it was made with a certificate, and no identity is configured")
	case s.Keyless == nil:
		return "", errors.New("it was made with another key")
	case len(sig.Certificate) == 0:
		return "", errors.New("it has no certificate, and was made with none of the keys")
	}
	if err := s.Keyless.Payload(payload, sig); err != nil {
		return "", err
	}
	return s.Keyless.String(), nil
}

// claim reads a payload whose signature is right, and holds it to the image.
func (s *search) claim(payload []byte) (simplesigning.Claim, error) {
	c, err := simplesigning.ParsePayload(payload)
	if err != nil {
		return c, err
	}
	if c.Digest != s.img.Digest {
		return c, fmt.Errorf("it is about another image, %s", c.Digest)
	}
	repository, tag := splitTag(c.Reference)
	if repository != s.signedAs() {
		return c, fmt.Errorf("it is about another repository, %s", c.Reference)
	}
	if tag != "" && s.img.Tag != "" && tag != s.img.Tag {
		return c, fmt.Errorf("it is about another tag, %s", c.Reference)
	}
	return c, nil
}

// signedAs is the repository that signatures have to name.
func (s *search) signedAs() string {
	if s.SignedAs != "" {
		return s.SignedAs
	}
	return s.img.Repository.String()
}

// Fits reports whether a name that a payload gave allows an image to be shown under a tag: most name no tag.
func Fits(claim, tag string) bool {
	_, claimed := splitTag(claim)
	return claimed == "" || tag == "" || claimed == tag
}

// Repository returns the repository that a name which a payload gave is of, "host/path".
func Repository(claim string) string {
	repository, _ := splitTag(claim)
	return repository
}

// splitTag takes the tag off a reference, and gives Docker's registry the name that it has here.
func splitTag(reference string) (repository, tag string) {
	reference, _, _ = strings.Cut(reference, "@")
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		reference, tag = reference[:i], reference[i+1:]
	}
	if rest, ok := strings.CutPrefix(reference, "index.docker.io/"); ok {
		reference = "docker.io/" + rest
	}
	return reference, tag
}

// byBundle looks among the bundles that refer to the image.
func (s *search) byBundle(ctx context.Context) (*Verdict, error) {
	list, _, err := s.Source.Referrers(ctx, s.img.Repository, s.img.Digest, "")
	if upstream.Absent(err) {
		s.note("nothing refers to it")
		return nil, nil
	}
	if useless(err) {
		s.note("what refers to it cannot be listed: %s", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing what refers to the image: %w", err)
	}
	referrers, err := candidates(list)
	if err != nil {
		s.note("the list of what refers to it cannot be read: %s", err)
		return nil, nil
	}
	if len(referrers) == 0 {
		s.note("no bundle refers to it")
	}
	for i, r := range referrers {
		if i == maxReferrers {
			s.bound(i, len(referrers), "referrers")
			return nil, nil
		}
		m, err := s.Source.Manifest(ctx, s.img.Repository, name.Reference(r.Digest))
		if upstream.Absent(err) {
			s.note("the referrer %s is missing", r.Digest)
			continue
		}
		if useless(err) {
			s.note("the referrer %s cannot be used: %s", r.Digest, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fetching a referrer: %w", err)
		}
		if v, err := s.inReferrer(ctx, r.Digest, m.Bytes); v != nil || err != nil {
			return v, err
		}
		if s.bundles == maxBundles && i+1 < len(referrers) {
			s.bound(i+1, len(referrers), "referrers")
			return nil, nil
		}
	}
	return nil, nil
}

// candidates sorts a list of referrers, signatures first and what says that it is none last: others may attach what they
// like, and only some can be looked at. What a list says is no more than a hint: some registries lose what a referrer is.
func candidates(list []byte) ([]ocispec.Descriptor, error) {
	idx, err := image.ParseLayout(list)
	if err != nil {
		return nil, err
	}
	all := idx.Manifests()
	slices.SortStableFunc(all, func(a, b ocispec.Descriptor) int { return rank(a) - rank(b) })
	return all, nil
}

func rank(d ocispec.Descriptor) int {
	switch predicate := bundle.Predicate(d.Annotations); {
	case predicate == bundle.Signed:
		return 0
	case predicate != "":
		return 3
	case bundle.Is(d.ArtifactType):
		return 1
	}
	return 2
}

// inReferrer looks at the bundles of one referrer, unless it says that these are no signatures.
func (s *search) inReferrer(ctx context.Context, of digest.Digest, manifest []byte) (*Verdict, error) {
	layers, predicate, err := bundle.Layers(manifest)
	if err != nil {
		s.note("a referrer cannot be read: %s", err)
		return nil, nil
	}
	if predicate != "" && predicate != bundle.Signed {
		s.note("a referrer is an attestation, %s, and no signature", predicate)
		return nil, nil
	}
	if len(layers) == 0 {
		s.note("the referrer %s holds no bundle of at most %d bytes", short(of), bundle.MaxBundle)
	}
	for i, l := range layers {
		if s.bundles == maxBundles {
			s.bound(i, len(layers), "bundles of a referrer")
			return nil, nil
		}
		s.bundles++
		raw, err := s.blob(ctx, l.Digest, l.Size, bundle.MaxBundle)
		if upstream.Absent(err) {
			s.note("the bundle %s is missing", l.Digest)
			continue
		}
		if useless(err) {
			s.note("the bundle %s cannot be used: %s", l.Digest, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fetching a bundle: %w", err)
		}
		by, err := s.inBundle(raw)
		if err == nil {
			return &Verdict{By: by, How: ByBundle}, nil
		}
		s.note("bundle %s: %s", short(l.Digest), err)
	}
	return nil, nil
}

func short(d digest.Digest) string { return d.Encoded()[:12] }

// inBundle returns who signed the image by a bundle, if the policy names them.
func (s *search) inBundle(raw []byte) (string, error) {
	b, err := bundle.Parse(raw)
	if err != nil {
		return "", err
	}
	if b.Keyless() {
		return s.keylessBundle(b)
	}
	if len(s.Keys) == 0 {
		return "", errors.New("it was made with a key, and an identity is configured")
	}
	for _, k := range s.Keys {
		statement, err := b.Verify(k, s.img.Bytes)
		if errors.Is(err, keys.ErrSignature) {
			continue
		}
		if err == nil {
			err = s.about(statement)
		}
		if err != nil {
			return "", err
		}
		return k.ID(), nil
	}
	return "", errors.New("it was made with another key")
}

func (s *search) keylessBundle(b *bundle.Bundle) (string, error) {
	if s.Keyless == nil {
		return "", errors.New("it was made with a certificate, and no identity is configured")
	}
	statement, err := b.Statement()
	if err == nil {
		err = s.about(statement)
	}
	if err == nil {
		err = s.Keyless.Bundle(b.Raw(), s.img.Digest)
	}
	if err != nil {
		return "", err
	}
	return s.Keyless.String(), nil
}

// about holds a statement to the image; a signature of the manifest itself has none. An attestation is no signature: who
// scanned an image, and signed what was found, has not said that it may run.
func (s *search) about(statement *bundle.Statement) error {
	switch {
	case statement == nil:
		return nil
	case statement.Type != bundle.Signed:
		return fmt.Errorf("it is an attestation, %s, and no signature", statement.Type)
	case !statement.About(s.img.Digest):
		return errors.New("it is about another image")
	}
	names := statement.NamesOf(s.img.Digest)
	for _, n := range names {
		if repository, _ := splitTag(n); !isRepository(repository) || repository == s.signedAs() {
			return nil
		}
	}
	return fmt.Errorf("it is about another repository, %.200s", names[0])
}

// isRepository reports whether a subject's name is that of a repository with its registry. Most statements name none, and
// in-toto allows any text.
func isRepository(text string) bool {
	host, path, _ := strings.Cut(text, "/")
	_, err := name.At(host, path)
	return err == nil && (strings.ContainsAny(host, ".:") || host == "localhost")
}
