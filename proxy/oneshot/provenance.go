package oneshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/sign"
)

// ErrProvenance says that no attestation by the keys tells that one image was made of the other.
var ErrProvenance = errors.New("no provenance by these keys")

// Provenance checks that an image in a registry has an attestation, by one of some keys, which says that Strata made it of
// a source. It returns the key, and where the source was pulled. Errors wrap ErrProvenance where there is none such.
func Provenance(ctx context.Context, source, served string, by []keys.Public, o Options) (key keys.Public, from string,
	err error) {
	of, err := manifestDigest(ctx, source, o)
	if err != nil {
		return key, "", err
	}
	d, err := manifestDigest(ctx, served, o)
	if err != nil {
		return key, "", err
	}
	ref, err := imageref.Parse(served)
	if err != nil {
		return key, "", err
	}
	found, err := ref.Attached(ctx, d, bundle.MediaType, imageref.Options{Platform: o.Platform, Insecure: o.Insecure})
	if err != nil {
		return key, "", err
	}
	why, silent := "nothing attests to it", true
	for _, raw := range found {
		for _, k := range by {
			repository, made, err := attested(raw, k, d)
			switch {
			case errors.Is(err, errSilent) && !silent: // what is wrong with an attestation says more
			case err != nil:
				why, silent = err.Error(), errors.Is(err, errSilent)
			case made != of:
				silent = false
				why = fmt.Sprintf("it was made of %s@%s, not of %s", repository, made, of)
			default:
				return k, repository, nil
			}
		}
	}
	return key, "", fmt.Errorf("%w: %s", ErrProvenance, why)
}

// errSilent is of attestations about something else, such as signatures.
var errSilent = errors.New("what refers to it says nothing of how it was made")

// attested reads a bundle that says of what an image was made.
func attested(raw []byte, by keys.Public, d digest.Digest) (repository string, source digest.Digest, err error) {
	b, err := bundle.Parse(raw)
	if err != nil {
		return "", "", err
	}
	said, err := b.Verify(by, nil)
	switch {
	case err != nil:
		return "", "", err
	case said == nil || said.Type != bundle.Provenance:
		return "", "", errSilent
	case !said.About(d):
		return "", "", errors.New("what refers to it is about another image")
	}
	return sign.Origin(said.Predicate)
}

// manifestDigest names the image that a reference stands for on the platform.
func manifestDigest(ctx context.Context, named string, o Options) (digest.Digest, error) {
	ref, err := imageref.Parse(named)
	if err != nil {
		return "", err
	}
	src, err := ref.Open(ctx, imageref.Options{Platform: o.Platform, Insecure: o.Insecure})
	if err != nil {
		return "", err
	}
	_, _, d := src.Manifest()
	return d, src.Close()
}
