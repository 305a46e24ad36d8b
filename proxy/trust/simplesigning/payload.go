// Package simplesigning reads and writes the signatures that cosign 2 keeps beside an image, under the tag
// "sha256-HEX.sig", and that skopeo, podman and bootc look for: images whose layers are payloads in the format of
// containers-signature(5). docs/formats.md says what they hold.
package simplesigning

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/trust/strict"
)

const (
	// PayloadType is the media type of a payload.
	PayloadType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// MaxPayload bounds a payload in bytes.
	MaxPayload = 256 << 10

	payloadKind = "cosign container image signature"
	tagPrefix   = "sha256-"
	tagSuffix   = ".sig"
)

// ErrInvalid marks documents that are no signatures.
var ErrInvalid = errors.New("invalid signature document")

// Tag returns the tag under which the signatures of a manifest are kept.
func Tag(d digest.Digest) string { return string(d.Algorithm()) + "-" + d.Encoded() + tagSuffix }

// Subject undoes Tag: it returns the manifest that a tag has signatures of. ok is false for other tags.
func Subject(tag string) (d digest.Digest, ok bool) {
	hex, prefixed := strings.CutPrefix(tag, tagPrefix)
	hex, suffixed := strings.CutSuffix(hex, tagSuffix)
	d = digest.Digest("sha256:" + hex)
	return d, prefixed && suffixed && d.Validate() == nil
}

// Claim is what a payload says: that an image has a name.
type Claim struct {
	// Reference is the name: a repository, "host/path", with a tag in rare cases.
	Reference string
	// Digest is that of the image's manifest or of an index.
	Digest digest.Digest
}

type payload struct {
	_        struct{} `strict:"closed"`
	Critical struct {
		_        struct{} `strict:"closed"`
		Identity struct {
			_         struct{} `strict:"closed"`
			Reference string   `json:"docker-reference" strict:"required"`
		} `json:"identity" strict:"required"`
		Image struct {
			_      struct{} `strict:"closed"`
			Digest string   `json:"docker-manifest-digest" strict:"required"`
		} `json:"image" strict:"required"`
		Type string `json:"type" strict:"required"`
	} `json:"critical" strict:"required"`
	// Optional are annotations, of which two have a type; null for none.
	Optional map[string]json.RawMessage `json:"optional" strict:"required"`
}

// Payload writes a claim, byte for byte as cosign does.
func Payload(c Claim) ([]byte, error) {
	var p payload
	p.Critical.Identity.Reference = c.Reference
	p.Critical.Image.Digest = c.Digest.String()
	p.Critical.Type = payloadKind
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing a payload: %w", err)
	}
	return b, nil
}

// ParsePayload reads a claim, as strictly as the clients that check one after us: exactly the members that a payload has,
// each once. Errors wrap ErrInvalid. Whoever has not checked the signature learns what anybody may have written.
func ParsePayload(b []byte) (Claim, error) {
	if len(b) > MaxPayload {
		return Claim{}, fmt.Errorf("%w: payload of %d bytes, at most %d", ErrInvalid, len(b), MaxPayload)
	}
	var p payload
	if err := strict.Unmarshal(b, &p); err != nil {
		return Claim{}, fmt.Errorf("%w: its payload: %w", ErrInvalid, err)
	}
	c := Claim{p.Critical.Identity.Reference, digest.Digest(p.Critical.Image.Digest)}
	switch {
	case p.Critical.Type != payloadKind:
		return Claim{}, fmt.Errorf("%w: the payload is of another type than %q", ErrInvalid, payloadKind)
	case c.Digest.Validate() != nil:
		return Claim{}, fmt.Errorf("%w: the payload names no image", ErrInvalid)
	case c.Reference == "":
		return Claim{}, fmt.Errorf("%w: the payload names no repository", ErrInvalid)
	}
	return c, checkOptional(p.Optional)
}

// checkOptional looks at the annotations that have a type.
func checkOptional(optional map[string]json.RawMessage) error {
	var creator string
	if raw, ok := optional["creator"]; ok && json.Unmarshal(raw, &creator) != nil {
		return fmt.Errorf("%w: the payload's creator is no text", ErrInvalid)
	}
	var at float64
	if raw, ok := optional["timestamp"]; ok && (json.Unmarshal(raw, &at) != nil || at != math.Trunc(at)) {
		return fmt.Errorf("%w: the payload's timestamp is no whole number", ErrInvalid)
	}
	return nil
}
