// Package sign writes what is said of a served image with the proxy's own keys: the signature image that cosign 2 and
// today's clients read, and bundles for cosign 3, one of which says how the image was made. It keeps and asks nothing.
package sign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/trust/strict"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	buildType = "https://github.com/strata-oci/strata/rechunk/v1"
	builder   = "https://github.com/strata-oci/strata"
)

// Maker signs with some keys under some names. It is safe for concurrent use.
type Maker struct {
	// Keys sign, each for itself; the first is the one in use, a second is for a rotation.
	Keys []keys.Private
	// Names are those that hosts know the proxy by, and DefaultUpstream the host that they may leave out, as in name.Parser.
	Names           []string
	DefaultUpstream string
	// Version is that of the program.
	Version string
}

// Fingerprint names keys, names and which of them an image gets: what was signed with others is signed again.
func (m *Maker) Fingerprint() string {
	text := "strata maker 3\n" + m.DefaultUpstream
	for _, k := range m.Keys {
		text += "\n" + k.Public().ID()
	}
	for _, n := range m.Names {
		text += "\n" + n
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Subject is what is signed.
type Subject struct {
	// Host and Path are the repository's.
	Host, Path string
	// Manifest is the served manifest or index.
	Manifest ocispec.Descriptor
	// Source is what it was made of.
	Source digest.Digest
	// Encoder, Base and Plan say how: what wrote the layers, the image that it builds on, and the plan's record. They
	// are empty for an index.
	Encoder    string
	Base, Plan digest.Digest
}

// Documents are what was signed, to be stored.
type Documents struct {
	Image     simplesigning.Image
	Artifacts []bundle.Artifact
}

// All lists the documents, each once: payloads are the same for all keys, and the bundles have one config.
func (d Documents) All() []image.Document {
	all := append([]image.Document{d.Image.Manifest, d.Image.Config}, d.Image.Payloads...)
	for _, a := range d.Artifacts {
		all = append(all, a.Manifest, a.Config, a.Bundle)
	}
	seen := map[digest.Digest]bool{}
	return slices.DeleteFunc(all, func(doc image.Document) bool {
		twice := seen[doc.Digest]
		seen[doc.Digest] = true
		return twice
	})
}

// Sign signs a subject. The same subject, keys and names give the same bytes.
func (m *Maker) Sign(s Subject) (Documents, error) {
	signed, err := m.payloads(s)
	if err != nil {
		return Documents{}, err
	}
	var out Documents
	if out.Image, err = simplesigning.Build(signed); err != nil {
		return Documents{}, err
	}
	predicate, err := m.provenance(s)
	if err != nil {
		return Documents{}, err
	}
	for _, said := range []bundle.Statement{
		{Type: bundle.Signed, Predicate: json.RawMessage("{}")}, {Type: bundle.Provenance, Predicate: predicate},
	} {
		said.Subjects = []digest.Digest{s.Manifest.Digest}
		for _, k := range m.Keys {
			raw, err := bundle.Sign(k, said)
			if err != nil {
				return Documents{}, err
			}
			artifact, err := bundle.Attach(s.Manifest, raw, said.Type)
			if err != nil {
				return Documents{}, err
			}
			out.Artifacts = append(out.Artifacts, artifact)
		}
	}
	return out, nil
}

// payloads signs each name with each key.
func (m *Maker) payloads(s Subject) ([]simplesigning.Signed, error) {
	var out []simplesigning.Signed
	for _, n := range m.references(s) {
		payload, err := simplesigning.Payload(simplesigning.Claim{Reference: n, Digest: s.Manifest.Digest})
		if err != nil {
			return nil, err
		}
		for _, k := range m.Keys {
			signature, err := k.Sign(payload)
			if err != nil {
				return nil, err
			}
			out = append(out, simplesigning.Signed{Payload: payload, Signature: signature})
		}
	}
	return out, nil
}

// references lists the names that hosts pull an image by: its own, and those behind the proxy's names. A name by which the
// proxy has another repository, or none, is not signed.
func (m *Maker) references(s Subject) []string {
	image := s.Host + "/" + s.Path
	out := []string{image}
	for _, n := range m.Names {
		for _, as := range []string{image, s.Path} {
			if full := n + "/" + as; m.means(full) == image {
				out = append(out, full)
			}
		}
	}
	return slices.Compact(out)
}

// means returns the repository that the proxy has by a name that begins with one of its own; "" when it has none. Of its
// names the longest counts: a reverse proxy knows it by that.
func (m *Maker) means(full string) string {
	behind := full
	for _, n := range m.Names {
		if rest, ok := strings.CutPrefix(full, n+"/"); ok && len(rest) < len(behind) {
			behind = rest
		}
	}
	repo, err := name.Parser{DefaultUpstream: m.DefaultUpstream}.Repository(behind, "")
	if err != nil {
		return ""
	}
	return repo.String()
}

// resource is a resource descriptor of in-toto.
type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// provenance is SLSA's predicate, version 1: how the image was made.
type provenance struct {
	Build struct {
		Type     string `json:"buildType"`
		External struct {
			Source string `json:"source"`
		} `json:"externalParameters"`
		Internal     *made      `json:"internalParameters,omitempty"`
		Dependencies []resource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version,omitempty"`
		} `json:"builder"`
	} `json:"runDetails"`
}

type made struct {
	Encoder string        `json:"encoder,omitempty"`
	Base    digest.Digest `json:"base,omitempty"`
	Plan    digest.Digest `json:"plan,omitempty"`
}

func (m *Maker) provenance(s Subject) (json.RawMessage, error) {
	var p provenance
	p.Build.Type = buildType
	p.Build.External.Source = s.Host + "/" + s.Path
	if how := (made{s.Encoder, s.Base, s.Plan}); how != (made{}) {
		p.Build.Internal = &how
	}
	p.Build.Dependencies = []resource{{
		URI:    "oci://" + s.Host + "/" + s.Path,
		Digest: map[string]string{s.Source.Algorithm().String(): s.Source.Encoded()},
	}}
	p.Run.Builder.ID = builder
	if m.Version != "" {
		p.Run.Builder.Version = map[string]string{"strata": m.Version}
	}
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing a provenance: %w", err)
	}
	return b, nil
}

// Origin reads a provenance that Strata made: the repository and the digest of the source.
func Origin(predicate json.RawMessage) (repository string, source digest.Digest, err error) {
	var p provenance
	if err := strict.Unmarshal(predicate, &p); err != nil {
		return "", "", fmt.Errorf("%w: its predicate: %w", bundle.ErrInvalid, err)
	}
	if p.Build.Type != buildType || len(p.Build.Dependencies) != 1 {
		return "", "", fmt.Errorf("%w: it was not made by Strata", bundle.ErrInvalid)
	}
	source = digest.Digest("sha256:" + p.Build.Dependencies[0].Digest["sha256"])
	if source.Validate() != nil {
		return "", "", fmt.Errorf("%w: it names no source", bundle.ErrInvalid)
	}
	return p.Build.External.Source, source, nil
}
