package catalog

import (
	"errors"
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
	// Reason is why it did not pass.
	Reason    string    `json:"reason,omitempty"`
	CheckedAt time.Time `json:"checked_at"`
	// RetryAt is when one that did not pass is checked again, Tries how often it was.
	RetryAt time.Time `json:"retry_at,omitzero"`
	Tries   int       `json:"tries,omitempty"`
}

func verdictKind() kind[ContentKey, Verdict] {
	return kind[ContentKey, Verdict]{
		name: "verdict", encode: ContentKey.String, decode: parseContentKey,
		check: func(v *Verdict) error {
			if v.Policy == "" {
				return errors.New("it names no policy")
			}
			return nil
		},
		leads: func(k ContentKey, _ *Verdict) Leads { return Leads{Owner: Owner{Manifest: k.Digest}} },
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

// Signature is what was signed of a served manifest or index.
type Signature struct {
	// Maker is the fingerprint of keys and names. With others it is made anew.
	Maker string `json:"maker"`
	// Image is the signature image, under cosign's tag, and Referrers are the bundles.
	Image     digest.Digest `json:"image"`
	Referrers []Referrer    `json:"referrers,omitempty"`
}

// maxReferrers bounds the referrers in one record.
const maxReferrers = 64

func signatureKind() kind[ContentKey, Signature] {
	return kind[ContentKey, Signature]{
		name: "signature", encode: ContentKey.String, decode: parseContentKey,
		check: func(s *Signature) error {
			if s.Image.Validate() != nil || len(s.Referrers) > maxReferrers {
				return errors.New("it names no image, or too many referrers")
			}
			for _, r := range s.Referrers {
				if r.Digest.Validate() != nil {
					return errors.New("a referrer has no digest")
				}
			}
			return nil
		},
		leads: func(k ContentKey, s *Signature) Leads {
			out := Leads{Owner{Manifest: k.Digest}, []Target{{s.Image, Document, true}}}
			for _, r := range s.Referrers {
				out.To = append(out.To, Target{r.Digest, Document, true})
			}
			return out
		},
	}
}
