package catalog

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Verdict is what the signatures of a source manifest or index said.
type Verdict struct {
	// Policy is the fingerprint of what was asked for. Under another one the verdict does not count.
	Policy string `json:"policy"`
	Passed bool   `json:"passed"`
	// By is the key or the identity, How and Via where the signature was found, Claims the name that it gave.
	By     string        `json:"by,omitempty"`
	How    string        `json:"how,omitempty"`
	Via    digest.Digest `json:"via,omitempty"`
	Claims string        `json:"claims,omitempty"`
	// Signers are the keys and identities without which it would not have passed, the latter by what they depend on, and As
	// is the repository that their signatures had to name: a policy that asks for the same and names them, too, changes
	// nothing.
	Signers []string `json:"signers,omitempty"`
	As      string   `json:"as,omitempty"`
	// Names are the names that the signatures of an index's images gave, where they are signed one by one.
	Names []string `json:"names,omitempty"`
	// Reason is why it did not pass.
	Reason    string    `json:"reason,omitempty"`
	CheckedAt time.Time `json:"checked_at"`
	// RetryAt is when one that did not pass is checked again, Tries how often it was.
	RetryAt time.Time `json:"retry_at,omitzero"`
	Tries   int       `json:"tries,omitempty"`
	// Was is the last verdict that passed, of an image that another policy has refused since. It has none itself.
	Was *Verdict `json:"was,omitempty"`
}

// LastPassed returns the newest verdict that passed, of what is recorded of an image, or nil. v may be nil.
func (v *Verdict) LastPassed() *Verdict {
	if v == nil || v.Passed {
		return v
	}
	return v.Was
}

func verdictKind() kind[ContentKey, Verdict] {
	return kind[ContentKey, Verdict]{
		name: "verdict", encode: ContentKey.String, decode: parseContentKey,
		check: func(v *Verdict) error {
			if v.Policy == "" {
				return errors.New("it names no policy")
			}
			if v.Was != nil && (v.Passed || v.Was.Policy == "" || !v.Was.Passed || v.Was.Was != nil) {
				return errors.New("what it says of before is no verdict that passed")
			}
			return nil
		},
		leads: func(k ContentKey, _ *Verdict) Leads { return Leads{Owner: Owner{Source: k.Digest}} },
	}
}

// Refusal says that nothing is shown under a tag: what the upstream's leads to is not signed as its rule asks, and there is
// no version before that is. Operators read it; nothing depends on it.
type Refusal struct {
	// Source is what the upstream's tag leads to.
	Source digest.Digest `json:"source_digest"`
	// Policy is the fingerprint of what it was checked by, and Reason what clients are told.
	Policy string `json:"policy"`
	Reason string `json:"reason"`
	// Since is when it was first refused, CheckedAt when it last was.
	Since     time.Time `json:"since"`
	CheckedAt time.Time `json:"checked_at"`
}

// Whoever writes them removes them.
func refusalKind() kind[TagKey, Refusal] {
	return kind[TagKey, Refusal]{
		name: KindRefusal, encode: TagKey.String, decode: ParseTagKey,
		check: func(r *Refusal) error {
			if r.Source.Validate() != nil || r.Policy == "" {
				return errors.New("it names no image, or no policy")
			}
			return nil
		},
	}
}

// Admitted says that a repository has shown a manifest, so that what it names may be given, too.
type Admitted struct {
	// Policy is the fingerprint of what it was checked by. Under another one the record does not count.
	Policy string    `json:"policy"`
	At     time.Time `json:"at"`
}

func admittedKind() kind[ContentKey, Admitted] {
	return kind[ContentKey, Admitted]{
		name: "admitted", encode: ContentKey.String, decode: parseContentKey,
		leads: func(k ContentKey, _ *Admitted) Leads { return Leads{Owner: Owner{Manifest: k.Digest}} },
	}
}

// Referrer is a document about a manifest, as lists of referrers show it.
type Referrer struct {
	MediaType    string            `json:"media_type"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifact_type"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Packed is where a document lies in a pack.
type Packed struct {
	Digest digest.Digest `json:"digest"`
	Offset int64         `json:"offset"`
	Size   int64         `json:"size"`
}

// In returns the document in its pack, or ErrDamaged where other bytes lie there.
func (p Packed) In(pack []byte) ([]byte, error) {
	n := int64(len(pack))
	if p.Offset < 0 || p.Size < 0 || p.Offset > n || p.Size > n-p.Offset || p.Digest.Validate() != nil {
		return nil, fmt.Errorf("%w: %s is not in the pack", ErrDamaged, p.Digest)
	}
	b := pack[p.Offset : p.Offset+p.Size : p.Offset+p.Size]
	if got := p.Digest.Algorithm().FromBytes(b); got != p.Digest {
		return nil, fmt.Errorf("%w: %s lies in the pack where %s should", ErrDamaged, got, p.Digest)
	}
	return b, nil
}

// Signature is what was signed of a served manifest or index.
type Signature struct {
	// Maker is the fingerprint of keys and names. With others it is made anew.
	Maker string `json:"maker"`
	// Image is the signature image, under cosign's tag, and Referrers are the bundles.
	Image     digest.Digest `json:"image"`
	Referrers []Referrer    `json:"referrers,omitempty"`
	// Pack holds these and all that they name, and Documents say where.
	Pack      digest.Digest `json:"pack"`
	Documents []Packed      `json:"documents"`
}

// Bounds of one record.
const (
	maxReferrers = 64
	maxPacked    = 1024
)

func (s *Signature) check() error {
	switch {
	case s.Image.Validate() != nil || s.Pack.Validate() != nil:
		return errors.New("it names no image, or no pack")
	case len(s.Referrers) > maxReferrers || len(s.Documents) > maxPacked:
		return errors.New("it names too many documents")
	}
	for _, r := range s.Referrers {
		if r.Digest.Validate() != nil {
			return errors.New("a referrer has no digest")
		}
	}
	return checkPacked(s.Documents)
}

func checkPacked(documents []Packed) error {
	for _, d := range documents {
		if d.Digest.Validate() != nil || d.Offset < 0 || d.Size < 0 {
			return errors.New("a document has no digest or place")
		}
	}
	return nil
}

// The documents are content of the pack alone, so that is all there is to keep.
func signatureKind() kind[ContentKey, Signature] {
	return kind[ContentKey, Signature]{
		name: "signature", encode: ContentKey.String, decode: parseContentKey, check: (*Signature).check,
		leads: func(k ContentKey, s *Signature) Leads {
			return Leads{Owner{Manifest: k.Digest}, []Target{{Digest: s.Pack, Use: Document}}}
		},
	}
}
