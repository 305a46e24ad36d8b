package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// The types of identities: how the name in a signature has to relate to the name that is pulled.
const (
	// MatchExact is the same name, with the same tag or digest in both.
	MatchExact = "matchExact"
	// MatchRepoDigestOrExact is the same, but for pulls by digest the repository suffices. It is the default.
	MatchRepoDigestOrExact = "matchRepoDigestOrExact"
	// MatchRepository is the same repository.
	MatchRepository = "matchRepository"
	// ExactReference is one name for all that the entry applies to.
	ExactReference = "exactReference"
	// ExactRepository is one repository for all that the entry applies to.
	ExactRepository = "exactRepository"
	// RemapIdentity puts one prefix for another, and is then MatchRepoDigestOrExact.
	RemapIdentity = "remapIdentity"
)

// Identity is which name a signature has to be for.
type Identity struct {
	Type             string `json:"type"`
	DockerReference  string `json:"dockerReference,omitempty"`
	DockerRepository string `json:"dockerRepository,omitempty"`
	Prefix           string `json:"prefix,omitempty"`
	SignedPrefix     string `json:"signedPrefix,omitempty"`
}

func (id *Identity) parse(b json.RawMessage) error {
	fields := map[string]*string{
		"type": &id.Type, "dockerReference": &id.DockerReference, "dockerRepository": &id.DockerRepository,
		"prefix": &id.Prefix, "signedPrefix": &id.SignedPrefix,
	}
	err := members(b, func(name string, value json.RawMessage) error {
		if fields[name] == nil {
			return errUnknown
		}
		return json.Unmarshal(value, fields[name])
	})
	if err != nil {
		return err
	}
	return id.check()
}

// check holds the members against the type, and the names in them against the grammar.
func (id *Identity) check() error {
	given := count(id.DockerReference != "", id.DockerRepository != "", id.Prefix != "", id.SignedPrefix != "")
	switch id.Type {
	case MatchExact, MatchRepoDigestOrExact, MatchRepository:
		if given != 0 {
			return fmt.Errorf("%s has no names of its own", id.Type)
		}
	case ExactReference:
		named, err := reference.ParseNormalizedNamed(id.DockerReference)
		if err != nil || given != 1 || reference.IsNameOnly(named) {
			return fmt.Errorf(`"dockerReference" %.200q is no name with a tag or digest`, id.DockerReference)
		}
	case ExactRepository:
		if _, err := reference.ParseNormalizedNamed(id.DockerRepository); err != nil || given != 1 {
			return fmt.Errorf(`"dockerRepository" %.200q is no repository`, id.DockerRepository)
		}
	case RemapIdentity:
		if id.Prefix == "" || id.SignedPrefix == "" || given != 2 {
			return errors.New(`"prefix" and "signedPrefix" are needed`)
		}
	default:
		return fmt.Errorf("the identity %.60q is unknown", id.Type)
	}
	return nil
}

// String names the identity for people.
func (id *Identity) String() string {
	if id == nil {
		return MatchRepoDigestOrExact
	}
	switch id.Type {
	case ExactReference:
		return id.Type + " " + id.DockerReference
	case ExactRepository:
		return id.Type + " " + id.DockerRepository
	case RemapIdentity:
		return id.Type + " " + id.Prefix + " to " + id.SignedPrefix
	}
	return id.Type
}

// Accepts reports whether the name in a signature, its docker-reference, fits to the image that is pulled under a name. That
// the digests are the same is not looked at.
func (id *Identity) Accepts(pulled reference.Named, signed string) bool {
	s, err := reference.ParseNormalizedNamed(signed)
	if err != nil {
		return false
	}
	if id == nil {
		return repoDigestOrExact(pulled, s)
	}
	switch id.Type {
	case MatchExact:
		return !reference.IsNameOnly(pulled) && !reference.IsNameOnly(s) && pulled.String() == s.String()
	case MatchRepoDigestOrExact:
		return repoDigestOrExact(pulled, s)
	case MatchRepository:
		return pulled.Name() == s.Name()
	case ExactReference:
		want, err := reference.ParseNormalizedNamed(id.DockerReference)
		return err == nil && !reference.IsNameOnly(want) && !reference.IsNameOnly(s) && want.String() == s.String()
	case ExactRepository:
		want, err := reference.ParseNormalizedNamed(id.DockerRepository)
		return err == nil && want.Name() == s.Name()
	case RemapIdentity:
		mapped, err := id.remap(pulled)
		return err == nil && repoDigestOrExact(mapped, s)
	}
	return false
}

func repoDigestOrExact(pulled, signed reference.Named) bool {
	if reference.IsNameOnly(signed) {
		return false
	}
	switch pulled.(type) {
	case reference.NamedTagged: // with a digest, too
		return signed.String() == pulled.String()
	case reference.Canonical:
		return signed.Name() == pulled.Name()
	}
	return false
}

// remap replaces the prefix where the name is it or begins with it and a slash.
func (id *Identity) remap(named reference.Named) (reference.Named, error) {
	if rest, ok := strings.CutPrefix(named.Name(), id.Prefix); !ok || rest != "" && rest[0] != '/' {
		return named, nil
	}
	return reference.ParseNamed(id.SignedPrefix + named.String()[len(id.Prefix):])
}
