package name

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// ErrInvalid is in the chain of every error about a name that breaks the grammar. The messages are fit for clients.
var ErrInvalid = errors.New("invalid repository name")

// ErrNoUpstream is in the chain of the error about a name without a registry's host where there is no default one.
var ErrNoUpstream = errors.New("no registry given")

// maxLength bounds host and path together, with the slash: what the OCI distribution specification says that clients take.
const maxLength = 255

const (
	dockerHub = "docker.io"
	library   = "library/" // the namespace of Docker Hub's official images, which their short names leave out
)

// Parser turns the names that clients use into repositories. The zero value takes names that start with a host only.
type Parser struct {
	// DefaultUpstream is the host for names that have none. Empty: such names are refused.
	DefaultUpstream string
}

// Repository resolves the repository part of a /v2/ path and the value of the ns query parameter, which containerd adds when
// it asks a mirror; empty when there is none. The path starts with a host when its first component looks like one (see
// docs/protocol.md) and another component follows. With ns the path needs no host, and one that it has must be the same.
// Errors wrap ErrInvalid or ErrNoUpstream.
func (p Parser) Repository(path, ns string) (Repository, error) {
	if len(path) > maxLength {
		return Repository{}, tooLong(len(path))
	}
	inPath, rest, err := splitHost(path)
	if err != nil && ns == "" {
		return Repository{}, err
	}
	switch {
	case ns != "":
		return mirrored(path, inPath, rest, ns, err)
	case inPath != "":
		return build(inPath, rest)
	case p.DefaultUpstream == "":
		return Repository{}, fmt.Errorf("%w: %q must start with a registry's host, as in \"ghcr.io/owner/image\": "+
			"this proxy has no default upstream", ErrNoUpstream, path)
	}
	host, err := ParseHost(p.DefaultUpstream)
	if err != nil {
		return Repository{}, fmt.Errorf("default upstream: %w", err)
	}
	return build(host, path)
}

// At resolves the repository part of a /v2/ path at a registry itself: as its own clients write it, without the host, which
// is in the canonical form. A path that begins with a host is a path all the same: registries have such. Errors wrap
// ErrInvalid.
func At(host, path string) (Repository, error) {
	if len(path) > maxLength {
		return Repository{}, tooLong(len(path))
	}
	return build(host, path)
}

// Defaulted says what a path was taken for that names no registry, in words for whoever meant another one; empty for a path
// that names one. repo is what Repository made of it without ns.
func (p Parser) Defaulted(path string, repo Repository) string {
	full := repo.String()
	if full != repo.Host()+"/"+path && full != dockerHub+"/"+library+path {
		return ""
	}
	return fmt.Sprintf("%q names no registry, so it means %s here: write HOST/PATH for another one, such as %s", path, full,
		example(path, repo.Host()))
}

// example is a path at another registry.
func example(path, host string) string {
	switch {
	case host == dockerHub:
		return "ghcr.io/" + path
	case strings.Contains(path, "/"):
		return dockerHub + "/" + path
	}
	return dockerHub + "/" + library + path
}

// mirrored resolves a path that came with ns; inPath, rest and pathErr are what splitHost made of the path.
func mirrored(path, inPath, rest, ns string, pathErr error) (Repository, error) {
	host, err := ParseHost(ns)
	if err != nil {
		return Repository{}, fmt.Errorf("query parameter ns: %w", err)
	}
	switch {
	case errors.Is(pathErr, errHostOnly):
		return build(host, path) // a single component such as "node.js"
	case pathErr != nil:
		return Repository{}, pathErr
	case inPath == "":
		return build(host, path)
	case inPath != host:
		return Repository{}, fmt.Errorf("%w: the path names the registry %q and ns names %q", ErrInvalid, inPath, host)
	}
	return build(host, rest)
}

// errHostOnly says that a path ends after its host.
var errHostOnly = fmt.Errorf("%w: a registry's host without a repository", ErrInvalid)

// splitHost separates a leading host from a path. Without one, host is empty.
func splitHost(path string) (host, rest string, err error) {
	first, rest, more := strings.Cut(path, "/")
	if !looksLikeHost(first) {
		return "", path, nil
	}
	if host, err = ParseHost(first); err != nil {
		return "", "", err
	}
	if !more {
		return "", "", fmt.Errorf("%w: %q", errHostOnly, path)
	}
	return host, rest, nil
}

// build checks the path's grammar and returns the repository in its canonical form.
func build(host, path string) (Repository, error) {
	if i := strings.IndexFunc(path, isUpper); i >= 0 {
		return Repository{}, fmt.Errorf("%w: %q has the capital letter %q; repository names are lower case", ErrInvalid,
			path, path[i])
	}
	if host == dockerHub && !strings.Contains(path, "/") {
		path = library + path
	}
	r := Repository{host: host, path: path}
	if n := len(r.String()); n > maxLength {
		return Repository{}, tooLong(n)
	}
	named, err := reference.WithName(r.String())
	if err != nil || reference.Domain(named) != host || reference.Path(named) != path {
		return Repository{}, fmt.Errorf("%w: %q; components are lower-case letters and digits, with single '.', one or two '_' or "+
			"any number of '-' between them", ErrInvalid, path)
	}
	return r, nil
}

func tooLong(n int) error {
	return fmt.Errorf("%w: %d characters with the registry's host; the limit is %d", ErrInvalid, n, maxLength)
}

func isUpper(c rune) bool { return 'A' <= c && c <= 'Z' }
