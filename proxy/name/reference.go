package name

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrTagInvalid is in the chain of errors about a tag that breaks the grammar.
var ErrTagInvalid = errors.New("invalid tag")

// ErrDigestInvalid is in the chain of errors about a digest that breaks the grammar or has an unknown algorithm.
var ErrDigestInvalid = errors.New("invalid digest")

// aboutTag are the tags under which cosign and the OCI distribution specification keep what is said about an image.
var aboutTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.(?:sig|att|sbom))?$`)

const (
	maxTag     = 128
	defaultTag = Reference("latest")

	// maxReference bounds what ParseReference looks at: the longest name, tag and digest.
	maxReference = maxLength + 1 + maxTag + 1 + len("sha512:") + 128
)

// ParseRef checks the reference of a request: a digest when it contains a colon, else a tag. Errors wrap ErrDigestInvalid or
// ErrTagInvalid.
func ParseRef(s string) (Reference, error) {
	if strings.Contains(s, ":") {
		d, err := ParseDigest(s)
		return Reference(d), err
	}
	return ParseTag(s)
}

// AboutImage reports whether a reference is a tag under which signatures, attestations and the like of an image are kept,
// and that nobody pulls an image by.
func (r Reference) AboutImage() bool { return aboutTag.MatchString(string(r)) }

// About returns the digest of the image that such a tag is about, and what the tag ends in: ".sig", ".att" or ".sbom", or
// nothing for the list of what refers to the image. ok is false for other references.
func (r Reference) About() (d digest.Digest, kind string, ok bool) {
	m := aboutTag.FindStringSubmatch(string(r))
	if m == nil {
		return "", "", false
	}
	return digest.NewDigestFromEncoded(digest.SHA256, m[1]), m[2], true
}

// TagAbout returns the tag under which what is said of an image is kept, by what the tag ends in.
func TagAbout(d digest.Digest, kind string) Reference {
	return Reference(d.Algorithm().String() + "-" + d.Encoded() + kind)
}

// ParseTag checks a tag against the grammar of the OCI distribution specification: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}.
func ParseTag(s string) (Reference, error) {
	if len(s) > maxTag {
		return "", fmt.Errorf("%w: %d characters; the limit is %d", ErrTagInvalid, len(s), maxTag)
	}
	if s == "" || s[0] == '.' || s[0] == '-' || strings.ContainsFunc(s, notInTag) {
		return "", fmt.Errorf("%w: %q; a tag has letters, digits, '_', '.' and '-', and starts with none of the last two",
			ErrTagInvalid, s)
	}
	return Reference(s), nil
}

func notInTag(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		return false
	}
	return true
}

// ParseDigest checks a digest: sha256 or sha512, in lower-case hex.
func ParseDigest(s string) (digest.Digest, error) {
	algorithm, hex, _ := strings.Cut(s, ":")
	size := 0
	switch digest.Algorithm(algorithm) {
	case digest.SHA256:
		size = 64
	case digest.SHA512:
		size = 128
	default:
		return "", fmt.Errorf("%w: the part before the colon must be sha256 or sha512", ErrDigestInvalid)
	}
	if len(hex) != size {
		return "", fmt.Errorf("%w: %s has %d hexadecimal digits, not %d", ErrDigestInvalid, algorithm, size, len(hex))
	}
	if strings.ContainsFunc(hex, notHex) {
		return "", fmt.Errorf("%w: only 0-9 and a-f may follow %s and the colon", ErrDigestInvalid, algorithm)
	}
	return digest.Digest(s), nil
}

func notHex(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') }

// ParseReference reads an image's name as people write it on command lines: "ghcr.io/a/b:tag", "ghcr.io/a/b@sha256:…",
// "a/b". The tag is "latest" when there is none; a digest wins over a tag beside it. Errors wrap ErrInvalid, ErrNoUpstream,
// ErrTagInvalid or ErrDigestInvalid.
func (p Parser) ParseReference(s string) (Repository, Reference, error) {
	if len(s) > maxReference {
		return Repository{}, "", fmt.Errorf("%w: %d characters; the limit is %d", ErrInvalid, len(s), maxReference)
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok {
		return Repository{}, "", fmt.Errorf("%w: %q: leave out the leading %q", ErrInvalid, s, scheme+"://")
	}
	ref := defaultTag
	path, hash, hasDigest := strings.Cut(s, "@")
	if colon := strings.LastIndexByte(path, ':'); colon > strings.LastIndexByte(path, '/') {
		tag, err := ParseTag(path[colon+1:])
		if err != nil {
			return Repository{}, "", err
		}
		path, ref = path[:colon], tag
	}
	if hasDigest {
		d, err := ParseDigest(hash)
		if err != nil {
			return Repository{}, "", err
		}
		ref = Reference(d)
	}
	repo, err := p.Repository(path, "")
	if err != nil {
		return Repository{}, "", err
	}
	return repo, ref, nil
}
