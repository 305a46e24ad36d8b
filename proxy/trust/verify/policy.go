// Package verify finds the signatures of an image at its upstream and checks them against a policy. It knows cosign's
// tags, the bundles that refer to an image, and indexes whose images are signed one by one. What upstreams send is bounded
// and trusted in nothing. Verdicts are remembered elsewhere.
package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
)

// Identities check signatures that were made with a certificate in place of a key.
type Identities interface {
	// Payload checks a signature of a payload, as it lies in a signature image.
	Payload(payload []byte, s simplesigning.Signature) error
	// Bundle checks a bundle about an artifact.
	Bundle(raw []byte, artifact digest.Digest) error
	// String says which identity of which issuer, and Fingerprint what it depends on.
	fmt.Stringer
	Fingerprint() string
}

// Policy is what an image needs: one signature by any of the keys or the identity.
type Policy struct {
	// Keys are those that may sign; several for the time of a rotation.
	Keys []keys.Public
	// Keyless may be nil.
	Keyless Identities
	// SignedAs is the repository, "host/path", that payloads have to name; empty for the one that is pulled.
	SignedAs string
}

// Fingerprint names the policy: another one has another, 32 hex digits.
func (p *Policy) Fingerprint() string { return fingerprint(p.SignedAs, p.signers()) }

// signers lists whom the policy names, as Names knows them, in the order that a fingerprint has them.
func (p *Policy) signers() []string {
	var ids []string
	for _, k := range p.Keys {
		ids = append(ids, k.ID())
	}
	slices.Sort(ids)
	if p.Keyless != nil {
		ids = append(ids, "keyless "+p.Keyless.Fingerprint())
	}
	return ids
}

func fingerprint(signedAs string, signers []string) string {
	sum := sha256.Sum256([]byte("strata policy 1\n" + signedAs + "\n" + strings.Join(signers, "\n")))
	return hex.EncodeToString(sum[:16])
}

// maxTried bounds the signers of whom Narrower tries all sets: some thousand hashes.
const maxTried = 12

// Narrower returns whom a policy names, given its fingerprint, if these are some of those whom p names and it asks for the
// same else: what passed by it passes by p. It returns nil for all other policies.
func (p *Policy) Narrower(of string) []string {
	all := p.signers()
	if len(all) > maxTried {
		return nil
	}
	for set := 1; set < 1<<len(all); set++ {
		var some []string
		for i, id := range all {
			if set&(1<<i) != 0 {
				some = append(some, id)
			}
		}
		if fingerprint(p.SignedAs, some) == of {
			return some
		}
	}
	return nil
}

// Signer names who signed, as a verdict says it, so that a policy can be asked later whether it still names them: an
// identity by all that it depends on.
func (p *Policy) Signer(by string) string {
	if p.Keyless != nil && by == p.Keyless.String() {
		return "keyless " + p.Keyless.Fingerprint()
	}
	return by
}

// Names reports whether the policy names a signer.
func (p *Policy) Names(signer string) bool {
	return p.Keyless != nil && signer == "keyless "+p.Keyless.Fingerprint() ||
		slices.ContainsFunc(p.Keys, func(k keys.Public) bool { return k.ID() == signer })
}

// Wants says for people whose signature is needed.
func (p *Policy) Wants() string {
	var all []string
	for _, k := range p.Keys {
		all = append(all, "key "+k.ID())
	}
	if p.Keyless != nil {
		all = append(all, p.Keyless.String())
	}
	return strings.Join(all, " or ")
}

// key returns the key that made a signature of a message.
func (p *Policy) key(message, signature []byte) (keys.Public, bool) {
	for _, k := range p.Keys {
		if k.Verify(message, signature) == nil {
			return k, true
		}
	}
	return keys.Public{}, false
}
