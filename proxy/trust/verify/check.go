package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/image"
)

// Bounds of one check.
const (
	maxReferrers = 64 // manifests that are fetched
	maxBundles   = 16 // of these that may be signatures
	maxImages    = 64 // of an index
	maxReasons   = 8
	patience     = 2 * time.Minute
)

// ErrRefused says that an image is not signed as its policy asks.
var ErrRefused = errors.New("not signed as configured")

// Source has what upstreams keep of signatures.
type Source interface {
	// Manifest returns a verified manifest.
	Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error)
	// Referrers returns the index of what refers to a digest, and whether it was filtered by type.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool, error)
	// Blob streams a blob that verifies itself.
	Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error)
}

// Image is what is checked: a manifest or an index.
type Image struct {
	Repository name.Repository
	// Tag is the one that it was asked for by, or empty.
	Tag       string
	MediaType string
	Digest    digest.Digest
	Bytes     []byte
}

// How a signature was found.
type How string

// The ways.
const (
	ByTag    How = "signature" // under cosign's tag
	ByBundle How = "bundle"    // among the referrers
	ByParts  How = "instances" // all images of the index, each by itself
	ByIndex  How = "index"     // an index that is signed names the image
)

// Verdict says what made an image pass.
type Verdict struct {
	// By is the key or the identity.
	By  string
	How How
	// Claims is the name in the payload; empty where there is none.
	Claims string
	// Parts are what made an index's images pass, by digest, where it is not signed itself.
	Parts map[digest.Digest]*Verdict
}

// Checker checks images. It is safe for concurrent use.
type Checker struct{ Source Source }

// Check returns a verdict on an image that passes. An error that wraps ErrRefused says what was missing; others say that
// the upstream could not be asked.
func (c *Checker) Check(ctx context.Context, img Image, p *Policy) (*Verdict, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	s := search{Checker: c, Policy: p, img: img}
	v, err := s.signed(ctx)
	if v != nil || err != nil {
		return v, err
	}
	if image.IsIndex(img.MediaType) {
		if v, err = s.parts(ctx); v != nil || err != nil {
			return v, err
		}
	}
	return nil, s.refusal()
}

// Tagged returns nil where one of the signatures under cosign's tag of a digest satisfies the policy, whatever else there
// is. Errors are as Check's.
func (c *Checker) Tagged(ctx context.Context, repo name.Repository, of digest.Digest, p *Policy) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	s := search{Checker: c, Policy: p, img: Image{Repository: repo, Digest: of}}
	if v, err := s.byTag(ctx); v != nil || err != nil {
		return err
	}
	return s.refusal()
}

// search looks for one signature that satisfies the policy, and notes why others do not.
type search struct {
	*Checker
	*Policy
	img     Image
	reasons []string
	bounds  []string // that were met
	bundles int      // that were fetched
}

func (s *search) note(format string, args ...any) {
	if len(s.reasons) < maxReasons {
		s.reasons = append(s.reasons, upstream.Clean(fmt.Sprintf(format, args...)))
	}
}

// refusal says what was missing.
func (s *search) refusal() error {
	why := append(s.reasons, s.bounds...)
	return fmt.Errorf("%w: it needs a signature by %s: %s", ErrRefused, s.Wants(), strings.Join(why, "; "))
}

// bound notes that there is more than is looked at.
func (s *search) bound(looked, all int, what string) {
	s.bounds = append(s.bounds, fmt.Sprintf("only %d of %d %s were looked at", looked, all, what))
}

// signed looks for a signature of the image itself; nil when there is none.
func (s *search) signed(ctx context.Context) (*Verdict, error) {
	v, err := s.byTag(ctx)
	if v != nil {
		return v, nil
	}
	// Where nobody answers for the tag, a bundle may have been imported.
	if v, berr := s.byBundle(ctx); v != nil || err == nil {
		return v, berr
	}
	return nil, err
}

// parts looks for signatures of all images of an index; what is no image is not asked for.
func (s *search) parts(ctx context.Context) (*Verdict, error) {
	idx, err := image.ParseIndex(s.img.Bytes)
	if err != nil {
		s.note("the index cannot be read: %s", err)
		return nil, nil
	}
	children := idx.Images(nil)
	if len(children) == 0 || len(children) > maxImages {
		s.note("the index itself is not signed, and has %d images; 1 to %d could be signed one by one", len(children),
			maxImages)
		return nil, nil
	}
	if len(children) != countable(idx) {
		s.note("the index itself is not signed, and names more than images and what is about them")
		return nil, nil
	}
	whole := &Verdict{How: ByParts, Parts: map[digest.Digest]*Verdict{}}
	for _, child := range children {
		m, err := s.Source.Manifest(ctx, s.img.Repository, name.Reference(child.Digest))
		if useless(err) {
			s.note("the index itself is not signed, and its image for %s cannot be had", child.Platform)
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("fetching %s of the index: %w", child.Digest, err)
		}
		part := search{Checker: s.Checker, Policy: s.Policy, img: Image{
			Repository: s.img.Repository, Tag: s.img.Tag, MediaType: m.MediaType, Digest: child.Digest, Bytes: m.Bytes,
		}}
		v, err := part.signed(ctx)
		if err != nil {
			return nil, err
		}
		if v == nil {
			s.note("the index itself is not signed, nor is its image for %s", child.Platform)
			return nil, nil
		}
		whole.By, whole.Claims, whole.Parts[child.Digest] = v.By, v.Claims, v
	}
	return whole, nil
}

// countable counts the entries of an index that clients could run: all but what is marked as being about another one and is
// for no platform. Clients choose by platform and heed no marks.
func countable(idx *image.Index) (n int) {
	for _, d := range idx.Manifests() {
		nowhere := d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
		if !Attestation(d) || !nowhere {
			n++
		}
	}
	return n
}

// Attestation reports whether an index's entry is about an image rather than one, as BuildKit marks them.
func Attestation(d ocispec.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// useless reports whether an error says that a thing is missing, or is not what it was named: whoever may attach signatures
// may attach such, too, and others count all the same.
func useless(err error) bool {
	return upstream.Absent(err) || errors.Is(err, errMismatch) ||
		upstream.Is(err, upstream.Invalid, upstream.TooLarge, upstream.Protocol)
}

// errMismatch says that a blob is not what it was named.
var errMismatch = errors.New("it is not what it was named")

// blob reads a small blob.
func (s *search) blob(ctx context.Context, d digest.Digest, size, limit int64) ([]byte, error) {
	rc, _, err := s.Source.Blob(ctx, s.img.Repository, d, size)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	if int64(len(b)) > limit || d.Algorithm().FromBytes(b) != d {
		return nil, fmt.Errorf("%s: %w", d, errMismatch)
	}
	return b, nil
}
