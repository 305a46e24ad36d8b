// Package policy reads policy.json, the file by which podman, skopeo, buildah and bootc decide which images they accept:
// which of its entries applies to a name, whether a signature's identity fits, and how a key is added without making the
// file weaker.
//
// It follows containers-policy.json(5) as containers/image 5.36 reads it: the same members, and as strict about those that
// it doesn't know or that come twice, since a client that finds such a file refuses every image.
package policy

import (
	_ "crypto/sha256" // without which no reference with a digest can be read
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Limits of a policy.
const (
	MaxBytes        = 1 << 20
	maxScopes       = 10_000 // of a transport
	maxTransports   = 64
	maxRequirements = 64 // of a scope
	maxKeys         = 256
)

// ErrInvalid says that clients would refuse the file.
var ErrInvalid = errors.New("invalid policy")

// The types of requirements.
const (
	AcceptAnything  = "insecureAcceptAnything"
	Reject          = "reject"
	SignedBy        = "signedBy"
	SignedBaseLayer = "signedBaseLayer"
	SigstoreSigned  = "sigstoreSigned"
)

// Docker is the transport of images in registries.
const Docker = "docker"

// Policy is what a policy.json says.
type Policy struct {
	Default    []Requirement      `json:"default"`
	Transports map[string]Entries `json:"transports,omitempty"`
}

// Entries are the requirements of a transport by scope: a name with a tag or digest, a repository, a namespace, a host, a
// wildcard such as *.example.com, or "" for all of the transport.
type Entries map[string][]Requirement

// Requirement is one condition; an image has to meet all of its scope.
type Requirement struct {
	Type string `json:"type"`
	// KeyType is of signedBy alone.
	KeyType string `json:"keyType,omitempty"`
	// Exactly one of KeyPath, KeyPaths, KeyData, KeyDatas, Fulcio and PKI is set where a signature is asked for. Paths are
	// the host's, data is PEM.
	KeyPath  string          `json:"keyPath,omitempty"`
	KeyPaths []string        `json:"keyPaths,omitempty"`
	KeyData  []byte          `json:"keyData,omitempty"`
	KeyDatas [][]byte        `json:"keyDatas,omitempty"`
	Fulcio   json.RawMessage `json:"fulcio,omitempty"`
	PKI      json.RawMessage `json:"pki,omitempty"`
	// Rekor is set where signatures have to be in a transparency log.
	RekorPath  string   `json:"rekorPublicKeyPath,omitempty"`
	RekorPaths []string `json:"rekorPublicKeyPaths,omitempty"`
	RekorData  []byte   `json:"rekorPublicKeyData,omitempty"`
	RekorDatas [][]byte `json:"rekorPublicKeyDatas,omitempty"`
	// Identity is which name a signature has to be for; nil stands for MatchRepoDigestOrExact.
	Identity *Identity `json:"signedIdentity,omitempty"`
	// BaseLayerIdentity is of signedBaseLayer alone.
	BaseLayerIdentity json.RawMessage `json:"baseLayerIdentity,omitempty"`
}

// Rekor reports whether signatures have to be in a transparency log.
func (r Requirement) Rekor() bool {
	return r.RekorPath != "" || r.RekorPaths != nil || r.RekorData != nil || r.RekorDatas != nil
}

// Parse reads a policy.json. Its errors are ErrInvalid.
func Parse(b []byte) (*Policy, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrInvalid, MaxBytes)
	}
	p := &Policy{}
	err := members(b, func(name string, value json.RawMessage) error {
		switch name {
		case "default":
			var err error
			p.Default, err = parseRequirements(value)
			return err
		case "transports":
			return p.parseTransports(value)
		}
		return errUnknown
	})
	if err == nil && p.Default == nil {
		err = errors.New(`"default" is missing`)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

func (p *Policy) parseTransports(b json.RawMessage) error {
	p.Transports = map[string]Entries{}
	return members(b, func(transport string, value json.RawMessage) error {
		if len(p.Transports) >= maxTransports {
			return fmt.Errorf("more than %d transports", maxTransports)
		}
		scopes := Entries{}
		p.Transports[transport] = scopes
		return members(value, func(scope string, value json.RawMessage) (err error) {
			if len(scopes) >= maxScopes {
				return fmt.Errorf("more than %d scopes", maxScopes)
			}
			scopes[scope], err = parseRequirements(value)
			return err
		})
	})
}

// Bytes returns the policy as a file.
func (p *Policy) Bytes() []byte {
	b, err := json.MarshalIndent(p, "", "    ")
	if err != nil {
		panic(err) // strings, bytes and raw messages that were read as JSON
	}
	return append(b, '\n')
}

// Match is the entry of a policy that applies to a name.
type Match struct {
	// Scope is the entry's name; "" for the default of the transport, or of all when Global is set.
	Scope  string
	Global bool
	// Requirements are never empty.
	Requirements []Requirement
}

// String names the entry for people.
func (m Match) String() string {
	switch {
	case m.Global:
		return `the policy's "default"`
	case m.Scope == "":
		return `the entry "" of "docker"`
	}
	return fmt.Sprintf("the entry %q of %q", m.Scope, Docker)
}

// Find returns the entry for an image in a registry: that of the exact name with its tag or digest, else of the repository,
// of its namespaces from the longest, of the host, of *.domain from the longest, of the transport, of all.
func (p *Policy) Find(named reference.Named) Match { return p.first(Scopes(named)) }

// Scopes lists the scopes that an image is in, the nearest first. Of a name with a tag and a digest, the digest counts.
func Scopes(named reference.Named) []string {
	scopes := enclosing(named.Name())
	switch n := named.(type) {
	case reference.Digested:
		return append([]string{named.Name() + "@" + n.Digest().String()}, scopes...)
	case reference.Tagged:
		return append([]string{named.Name() + ":" + n.Tag()}, scopes...)
	}
	return scopes
}

// FindScope is Find for all images of a repository, a namespace or a host.
func (p *Policy) FindScope(scope string) Match { return p.first(enclosing(scope)) }

func (p *Policy) first(scopes []string) Match {
	entries := p.Transports[Docker]
	for _, scope := range append(scopes, "") {
		if reqs, ok := entries[scope]; ok {
			return Match{Scope: scope, Requirements: reqs}
		}
	}
	return Match{Global: true, Requirements: p.Default}
}

// enclosing lists the scopes that hold a host, namespace or repository, itself first. A port counts for all but wildcards.
func enclosing(name string) []string {
	var scopes []string
	for {
		scopes = append(scopes, name)
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			break
		}
		name = name[:i]
	}
	host, _, _ := strings.Cut(name, ":")
	for {
		_, rest, ok := strings.Cut(host, ".")
		if !ok {
			return scopes
		}
		scopes, host = append(scopes, "*."+rest), rest
	}
}

// Within reports whether a scope is another one, or lies in it.
func Within(scope, of string) bool {
	rest, ok := strings.CutPrefix(scope, of)
	return ok && (rest == "" || rest[0] == '/' || strings.ContainsAny(rest[:1], ":@") && strings.Contains(of, "/"))
}

// scopesWithin lists the policy's scopes in a scope, sorted.
func (p *Policy) scopesWithin(scope string) []string {
	var out []string
	for s := range p.Transports[Docker] {
		if Within(s, scope) {
			out = append(out, s)
		}
	}
	return slices.Sorted(slices.Values(out))
}

// clone copies what Trust changes.
func (p *Policy) clone() *Policy {
	q := &Policy{Default: p.Default, Transports: maps.Clone(p.Transports)}
	if q.Transports == nil {
		q.Transports = map[string]Entries{}
	}
	q.Transports[Docker] = maps.Clone(q.Transports[Docker])
	if q.Transports[Docker] == nil {
		q.Transports[Docker] = Entries{}
	}
	return q
}
