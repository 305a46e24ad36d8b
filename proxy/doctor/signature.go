package doctor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// attached is one signature with its payload.
type attached struct {
	simplesigning.Signature
	payload []byte
	claim   simplesigning.Claim
}

// signed tries the signatures of the image that was found by each requirement of the policy. Podman and skopeo look at the
// image of the host's platform, bootc at what the name itself stands for.
func (e *examination) signed(ctx context.Context, m policy.Match, sources []registries.Source, p *pulled) {
	asked := e.named
	if p != nil {
		asked = p.source.Named
	} else if len(sources) > 0 {
		asked = sources[0].Named
	}
	looked := e.attachments(asked)
	for _, r := range m.Requirements {
		if r.Type != policy.SigstoreSigned {
			continue
		}
		keys, err := e.loadKeys(r)
		if err != nil {
			e.add(CheckSignature, Wrong, "put the key there ("+e.clientConfig(proxyKey)+"), or take its path out of the policy: "+
				"clients refuse every image of the entry while one cannot be read", "%v", err)
			continue
		}
		if !looked || p == nil {
			continue
		}
		if r.Fulcio != nil || r.PKI != nil || r.Rekor() {
			e.add(CheckSignature, Wrong, "ask for the proxy's key beside it, in an entry without a log or a certificate",
				"%s wants %s and an entry in a log, which signatures of a proxy don't have", m, keyNames(r))
			continue
		}
		e.try(ctx, p, p.instance, r, keys)
		if p.index {
			e.try(ctx, p, p.digest, r, keys)
		}
	}
}

// try looks for one signature of a manifest that a requirement accepts.
func (e *examination) try(ctx context.Context, p *pulled, d digest.Digest, r policy.Requirement, keys []any) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	what := "the image"
	if p.index && d == p.digest {
		what = "the index, which bootc looks at,"
	}
	list, err := signatures(ctx, p, d)
	if err != nil {
		e.add(CheckSignature, Wrong, "look at the proxy's log: clients fail unless a missing signature is a 404",
			"the signatures of %s cannot be read: %v", d, err)
		return
	}
	if len(list) == 0 {
		e.add(CheckSignature, Wrong, "sign at the proxy (signing.key_file), or have it serve the image as it is (rechunk: never)",
			"%s %s has no signature: %s is not there", what, d, simplesigning.Tag(d))
		return
	}
	var why []refusal
	for _, s := range list {
		reason := e.judge(s, d, r, keys)
		if reason == (refusal{}) {
			e.fine(CheckSignature, "%s %s is signed, as %s", what, d, s.claim.Reference)
			return
		}
		why = append(why, reason)
	}
	worst := why[0]
	for _, reason := range why {
		if reason.rank > worst.rank {
			worst = reason
		}
	}
	e.add(CheckSignature, Wrong, worst.fix, "none of the signatures of %s %s is accepted: %s", what, d, worst.text)
}

// refusal is why a signature does not count. That with the highest rank came closest.
type refusal struct {
	rank      int
	text, fix string
}

// judge decides as containers/image does: the key, then the digest, then the name.
func (e *examination) judge(s attached, d digest.Digest, r policy.Requirement, keys []any) refusal {
	good := false
	for _, key := range keys {
		good = good || verifies(key, s.payload, s.Bytes)
	}
	switch {
	case !good:
		return refusal{1, "it was made with another key than " + keyNames(r),
			"add the proxy's public key to the policy: " + e.clientConfig(proxyKey)}
	case s.claim.Digest != d:
		return refusal{2, fmt.Sprintf("it is for another image, %s", s.claim.Digest), "have the proxy sign the image anew"}
	case !r.Identity.Accepts(e.named, s.claim.Reference):
		fix := fmt.Sprintf("sign for %s, too: at the proxy, signing.names", e.named.Name())
		if (&policy.Identity{Type: policy.MatchRepository}).Accepts(e.named, s.claim.Reference) {
			fix = `in the policy: "signedIdentity": {"type": "matchRepository"}`
		}
		return refusal{3, fmt.Sprintf("it is for %.200s, which %s does not accept for %s", s.claim.Reference, r.Identity,
			e.named), fix}
	}
	return refusal{}
}

// verifies checks a signature as clients do, which take SHA-256 for every key that hashes.
func verifies(key any, payload, signature []byte) bool {
	sum := sha256.Sum256(payload)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, payload, signature)
	}
	return false
}

// signatures fetches what is attached to a manifest by its tag.
func signatures(ctx context.Context, p *pulled, d digest.Digest) ([]attached, error) {
	options := append([]remote.Option{}, p.options...)
	options = append(options, remote.WithContext(ctx))
	got, err := remote.Get(p.repo.Tag(simplesigning.Tag(d)), options...)
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	list, _, err := simplesigning.Read(got.Manifest)
	if err != nil {
		return nil, err
	}
	var out []attached
	for _, s := range list {
		if s.Size < 0 || s.Size > simplesigning.MaxPayload {
			return nil, fmt.Errorf("a payload of %d bytes", s.Size)
		}
		payload, err := fetch(p, s.Payload, options)
		if err != nil {
			return nil, err
		}
		claim, err := simplesigning.ParsePayload(payload)
		if err != nil {
			claim = simplesigning.Claim{}
		}
		out = append(out, attached{s, payload, claim})
	}
	return out, nil
}

func fetch(p *pulled, d digest.Digest, options []remote.Option) ([]byte, error) {
	layer, err := remote.Layer(p.repo.Digest(d.String()), options...)
	if err != nil {
		return nil, err
	}
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read
	return io.ReadAll(io.LimitReader(r, simplesigning.MaxPayload+1))
}
