package catalog

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
)

// Served is how an image is served.
type Served string

// How images are served.
const (
	// Rechunked is an image that was made here.
	Rechunked Served = "rechunked"
	// Original is the upstream's, byte for byte.
	Original Served = "original"
)

func (s Served) valid() bool { return s == Rechunked || s == Original }

// Tag says what a tag stands for.
type Tag struct {
	// SourceDigest and SourceType are what the upstream's tag led to.
	SourceDigest digest.Digest `json:"source_digest"`
	SourceType   string        `json:"source_media_type"`
	// Digest and MediaType are what clients get; equal to the source's when that is served as it is.
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Served    Served        `json:"served"`
	// AsItIs is why an image is served as it is, by its nature or by its rule; empty otherwise.
	AsItIs string `json:"as_it_is,omitempty"`
	// Rule is the repository's rechunk rule at that time.
	Rule string `json:"rule"`
	// CheckedAt is when the upstream last said so, UpdatedAt when Digest last changed.
	CheckedAt time.Time `json:"checked_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Policy is the fingerprint of what the image's signatures were checked by; empty where none are asked for.
	Policy string `json:"policy,omitempty"`
	// Signed are what signatures cover of what the upstream's tag led to: its digest, and those of an index's images. Seen
	// are those that the tag stood for before, newest last, where signatures are asked for, and Released the source digest
	// that an operator allowed it to go back to.
	Signed []digest.Digest `json:"signed,omitempty"`
	// Newer are those that it stood for after Released, newest last: they are no way back.
	Seen     []digest.Digest `json:"seen,omitempty"`
	Newer    []digest.Digest `json:"newer,omitempty"`
	Released digest.Digest   `json:"released,omitempty"`
	// Staged says that there is a roll-out, which tells what hosts get in place of Digest, whatever the rule says.
	Staged bool `json:"staged,omitempty"`
	// Stable is the newest version that all hosts got, which they get while the roll-out's record is lost; nil: not known.
	Stable *RolledVersion `json:"stable,omitempty"`
	// Failure is why the record shows less than the rule asks for; nil when all is well.
	Failure *Failure `json:"failure,omitempty"`
}

// Failure says that a source image could not be rechunked, or not all of its platforms.
type Failure struct {
	// Source is the image that the upstream's tag led to.
	Source digest.Digest `json:"source_digest"`
	Error  string        `json:"error"`
	// Refused: it is not signed as its repository's rule asks. Rollback: it is, but the tag stood for it before.
	Refused  bool `json:"refused,omitempty"`
	Rollback bool `json:"rollback,omitempty"`
	// RetryAt is when it is tried again, Tries how often it was.
	RetryAt time.Time `json:"retry_at"`
	Tries   int       `json:"tries"`
}

var errNoImage = errors.New("a field is missing or makes no sense")

func tagKind() kind[TagKey, Tag] {
	return kind[TagKey, Tag]{
		name: KindTag, encode: TagKey.String, decode: ParseTagKey, vital: true,
		check: func(t *Tag) error {
			if t.SourceDigest.Validate() != nil || t.Digest.Validate() != nil || t.MediaType == "" || !t.Served.valid() {
				return errNoImage
			}
			if t.Stable != nil {
				return t.Stable.check()
			}
			return nil
		},
		leads: func(_ TagKey, t *Tag) Leads {
			to := []Target{{t.Digest, OriginalLayer, true}}
			if t.Digest != t.SourceDigest {
				// The next version often shares layers with the source, and a layer that rots is made again from it.
				to = []Target{{t.SourceDigest, SourceLayer, true}, {t.Digest, ServedLayer, true}}
			}
			if t.Stable != nil && t.Stable.Digest != t.Digest {
				to = append(to, t.Stable.lead())
			}
			return Leads{To: to}
		},
	}
}

// Manifest says what a stored manifest is.
type Manifest struct {
	MediaType string `json:"media_type"`
	// Source is the digest of the source's manifest; that of the manifest itself for an original.
	Source digest.Digest `json:"source_digest"`
	Served Served        `json:"served"`
}

func manifestKind() kind[digest.Digest, Manifest] {
	return kind[digest.Digest, Manifest]{
		name: KindManifest, encode: digest.Digest.String, decode: digestKey,
		check: func(m *Manifest) error {
			if m.Source.Validate() != nil || m.MediaType == "" || !m.Served.valid() {
				return errNoImage
			}
			return nil
		},
		leads: func(d digest.Digest, m *Manifest) Leads {
			use := OriginalLayer
			if m.Served == Rechunked {
				use = ServedLayer
			}
			return Leads{Owner{Manifest: d}, []Target{{d, use, true}}}
		},
	}
}

// Repository marks a repository that was pulled through the proxy; its key is "host/path".
type Repository struct {
	// Since is when it first was.
	Since time.Time `json:"since"`
}

func repositoryKind() kind[string, Repository] {
	return kind[string, Repository]{name: KindRepository, encode: asItIs, decode: anyKey}
}

// Pulls are what clients fetched of an image.
type Pulls struct {
	// Last is when a client last asked for the manifest, to the hour or so; zero when none did.
	Last time.Time `json:"last_pull,omitzero"`
	// Layers are how often each layer was sent to its end to clients that pulled this image.
	Layers map[digest.Digest]int64 `json:"layers,omitempty"`
}

// MaxPulledLayers bounds the layers in one record; images have no more.
const MaxPulledLayers = 1024

func pullsKind() kind[digest.Digest, Pulls] {
	return kind[digest.Digest, Pulls]{
		name: "pulls", encode: digest.Digest.String, decode: digestKey,
		check: func(p *Pulls) error {
			if len(p.Layers) > MaxPulledLayers {
				return errors.New("it counts more layers than images have")
			}
			for d, n := range p.Layers {
				if d.Validate() != nil || n < 0 {
					delete(p.Layers, d)
				}
			}
			return nil
		},
		leads: func(d digest.Digest, _ *Pulls) Leads { return Leads{Owner: Owner{Manifest: d}} },
	}
}
