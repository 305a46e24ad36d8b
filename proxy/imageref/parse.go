package imageref

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits of what a reference may be.
const (
	maxRefLen = 4096 // as a path's
	maxTagLen = 255
)

type kind string

// The prefixes of references.
const (
	kindLayout   kind = "oci:"
	kindArchive  kind = "oci-archive:"
	kindRegistry kind = "docker://"
)

// tagGrammar is that of org.opencontainers.image.ref.name, image-spec 1.1, annotations.md.
var tagGrammar = regexp.MustCompile(`^` + tagComponent + `(?:/` + tagComponent + `)*$`)

const tagComponent = `[A-Za-z0-9]+(?:(?:--|[-._:@+])[A-Za-z0-9]+)*`

// otherTransports are skopeo's, which are told apart from repositories of these names.
var otherTransports = regexp.MustCompile(`^(?:dir|docker-archive|docker-daemon|containers-storage|ostree|sif|tarball|atomic):`)

// Ref is a parsed image reference. Refs are equal when they mean the same place.
type Ref struct {
	kind  kind
	path  string // of a layout or an archive
	tag   string // of a layout or an archive; may be empty
	named string // in a registry: host/path:tag, host/path@digest, or both
}

// Parse reads an image reference in one of the forms that the package comment lists.
func Parse(s string) (Ref, error) {
	r, err := parse(s)
	if err != nil {
		return Ref{}, fmt.Errorf("image reference %q: %w", shorten(s, 200), err)
	}
	return r, nil
}

func parse(s string) (Ref, error) {
	switch {
	case len(s) > maxRefLen:
		return Ref{}, fmt.Errorf("longer than %d bytes: %w", maxRefLen, ErrTooLarge)
	case !legible.Plain(s):
		return Ref{}, errors.New("holds a character that does not show")
	}
	if rest, ok := strings.CutPrefix(s, string(kindRegistry)); ok {
		return parseRegistry(rest)
	}
	for _, t := range []kind{kindLayout, kindArchive} {
		if rest, ok := strings.CutPrefix(s, string(t)); ok {
			return parsePath(t, rest)
		}
	}
	const forms = "write oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF"
	switch {
	case s == "":
		return Ref{}, errors.New("is empty; " + forms)
	case s[0] == '/' || s[0] == '.' || s[0] == '~':
		return Ref{}, errors.New("looks like a path; " + forms)
	case strings.Contains(s, "://"), otherTransports.MatchString(s):
		return Ref{}, errors.New("is of an unknown kind; " + forms)
	}
	return parseRegistry(s)
}

// parsePath splits at the first colon, as skopeo does: a tag may hold colons, a path may not.
func parsePath(t kind, s string) (Ref, error) {
	path, tag, tagged := strings.Cut(s, ":")
	switch {
	case path == "":
		return Ref{}, fmt.Errorf("the path after %q is missing", string(t))
	case path == "-":
		return Ref{}, errors.New("- is no place, since images are not piped: name a file (./- is one)")
	case tagged && tag == "":
		return Ref{}, errors.New("the tag after the last colon is missing; leave the colon out for none")
	case len(tag) > maxTagLen:
		return Ref{}, fmt.Errorf("the tag is longer than %d bytes: %w", maxTagLen, ErrTooLarge)
	case tagged && !tagGrammar.MatchString(tag):
		return Ref{}, fmt.Errorf("tag %q has characters that OCI image layouts don't allow (a path can't hold a colon)", tag)
	}
	return Ref{kind: t, path: path, tag: tag}, nil
}

func parseRegistry(s string) (Ref, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Ref{}, fmt.Errorf("%w; write HOST/REPOSITORY[:TAG|@DIGEST] in lower case", err)
	}
	if d, ok := named.(reference.Digested); ok {
		if err := checkDigest(d.Digest()); err != nil {
			return Ref{}, err
		}
	}
	return Ref{kind: kindRegistry, named: reference.TagNameOnly(named).String()}, nil
}

// String returns the reference in full, with prefix, registry host and tag. Parse reads it back.
func (r Ref) String() string {
	if r.kind == kindRegistry || r.tag == "" {
		return string(r.kind) + r.path + r.named
	}
	return string(r.kind) + r.path + ":" + r.tag
}

// IsArchive reports whether r is in a tar file.
func (r Ref) IsArchive() bool { return r.kind == kindArchive }

// checkDigest accepts what the rest of the package can verify and use as a file's name.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", shorten(string(d), 100), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest algorithm %s is not supported; sha256 is", d.Algorithm())
	}
	return nil
}
