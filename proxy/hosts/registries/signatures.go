package registries

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/distribution/reference"
	"github.com/goccy/go-yaml"

	"github.com/strata-oci/strata/proxy/hosts/policy"
)

// ErrTwice is ErrInvalid: two files say the same thing, of which clients take neither.
var ErrTwice = fmt.Errorf("%w", ErrInvalid)

// Namespace says where signatures are looked for.
type Namespace struct {
	Lookaside string `yaml:"lookaside"`
	SigStore  string `yaml:"sigstore"` // the old name of it
	// Attachments: at the registry itself, under the tag sha256-DIGEST.sig. Nil says nothing.
	Attachments *Flag `yaml:"use-sigstore-attachments"`
	// File is where it stands.
	File string `yaml:"-"`
}

// Flag is a boolean as clients read it: by YAML 1.2, and the words of YAML 1.1 as well, in quotes or not.
type Flag bool

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (f *Flag) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	switch v {
	case true, "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		*f = true
	case false, "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		*f = false
	default:
		return fmt.Errorf("%.40q is neither true nor false", fmt.Sprint(v))
	}
	return nil
}

// Signatures is what all files of registries.d say together.
type Signatures struct {
	Default *Namespace
	// Docker is by namespace: a name with tag or digest, a repository, a namespace, a host, *.domain.
	Docker map[string]Namespace
}

// SignaturesDir is the directory below a root that counts for its user root: its own, where it has one, counts alone.
func SignaturesDir(root fs.FS) string {
	if there(root, rootSignDir) {
		return rootSignDir
	}
	return SignDir
}

// ReadSignatures reads the files of a directory below a root, but for those that skip names.
func ReadSignatures(root fs.FS, dir string, skip ...string) (*Signatures, error) {
	s := &Signatures{Docker: map[string]Namespace{}}
	names, err := list(root, dir, ".yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if len(skip) > 0 && strings.HasSuffix(name, "/"+skip[0]) {
			continue
		}
		b, err := read(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = s.add(name, b)
		}
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
	}
	return s, nil
}

// ParseSignatures reads one file.
func ParseSignatures(name string, b []byte) (*Signatures, error) {
	s := &Signatures{Docker: map[string]Namespace{}}
	return s, s.add(name, b)
}

func (s *Signatures) add(name string, b []byte) error {
	var d struct {
		Default *Namespace           `yaml:"default-docker"`
		Docker  map[string]Namespace `yaml:"docker"`
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil
	}
	if err := yaml.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%w: %.300s", ErrInvalid, strings.SplitN(err.Error(), "\n", 2)[0])
	}
	if d.Default != nil {
		if s.Default != nil {
			return fmt.Errorf("%w: default-docker stands in /%s, too", ErrTwice, s.Default.File)
		}
		d.Default.File = name
		s.Default = d.Default
	}
	if len(d.Docker)+len(s.Docker) > maxTable {
		return fmt.Errorf("%w: more than %d namespaces", ErrInvalid, maxTable)
	}
	for namespace, n := range d.Docker {
		if have, ok := s.Docker[namespace]; ok {
			return fmt.Errorf("%w: the namespace %s stands in /%s, too", ErrTwice, namespace, have.File)
		}
		n.File = name
		s.Docker[namespace] = n
	}
	return nil
}

// Attachments reports whether signatures of an image are looked for at the registry that is asked for it, and which
// namespace says so.
func (s *Signatures) Attachments(asked reference.Named) (on bool, where string) {
	for _, name := range policy.Scopes(asked) {
		if n, ok := s.Docker[name]; ok && n.Attachments != nil {
			return bool(*n.Attachments), fmt.Sprintf("%s in /%s", name, n.File)
		}
	}
	if s.Default != nil && s.Default.Attachments != nil {
		return bool(*s.Default.Attachments), "default-docker in /" + s.Default.File
	}
	return false, ""
}

// Lookaside returns where else signatures are looked for, or "".
func (s *Signatures) Lookaside(asked reference.Named) (url, where string) {
	for _, name := range policy.Scopes(asked) {
		n := s.Docker[name]
		if url := cmpOr(n.Lookaside, n.SigStore); url != "" {
			return url, fmt.Sprintf("%s in /%s", name, n.File)
		}
	}
	if s.Default != nil {
		return cmpOr(s.Default.Lookaside, s.Default.SigStore), "default-docker in /" + s.Default.File
	}
	return "", ""
}
