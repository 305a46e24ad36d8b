package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// maxFile bounds each of the host's files.
const maxFile = 4 << 20

// pulled is the image that a registry has.
type pulled struct {
	source  registries.Source
	options []remote.Option
	repo    name.Repository
	digest  digest.Digest // of what the name stands for
	index   bool
	// instance is the image for the host's platform, the same as digest without an index.
	instance digest.Digest
	image    v1.Image
}

// pull asks for the image's manifest, as a client does with its credentials.
func (e *examination) pull(ctx context.Context, d *door, s registries.Source) *pulled {
	login, from, err := e.credentials(d.host, s.Named)
	if err != nil {
		e.add(CheckLogin, Wrong, "mend the file, or log in anew", "%v", err)
		return nil
	}
	p := &pulled{source: s}
	var nameOptions []name.Option
	if d.plain {
		nameOptions = append(nameOptions, name.Insecure)
	}
	ref, err := name.ParseReference(s.Named.String(), nameOptions...)
	if err != nil {
		e.add(CheckNames, Wrong, "mend prefix and location", "%v", err)
		return nil
	}
	p.repo = ref.Context()
	platform, err := v1.ParsePlatform(e.Platform)
	if err != nil {
		e.add(CheckImage, Wrong, "name a platform as in linux/amd64", "%v", err)
		return nil
	}
	p.options = []remote.Option{remote.WithContext(ctx), remote.WithTransport(&watched{d, e}), remote.WithAuth(login),
		remote.WithPlatform(*platform), remote.WithRetryStatusCodes(),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1})}
	got, err := remote.Get(ref, p.options...)
	if err != nil {
		e.refused(d, err, from)
		return nil
	}
	if from != "" {
		e.fine(CheckLogin, "%s takes the login of %s", d.host, from)
	}
	p.digest, p.index = digest.Digest(got.Digest.String()), got.MediaType.IsIndex()
	if p.image, err = got.Image(); err != nil {
		e.add(CheckImage, Wrong, "pull on a host of another platform", "%s has no image for %s: %v", e.named, e.Platform,
			err)
		return nil
	}
	instance, err := p.image.Digest()
	if err != nil {
		e.add(CheckImage, Wrong, "", "%v", err)
		return nil
	}
	p.instance = digest.Digest(instance.String())
	return p
}

// refused says what a registry's refusal means.
func (e *examination) refused(d *door, err error, from string) {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		switch {
		case isOwn(err):
		case alerted(err):
			fix, text := e.explain(d, err)
			e.add(CheckTLS, Wrong, fix, "%s: %s", d.host, text)
		default:
			e.add(CheckManifest, Wrong, "look at the proxy's log", "%s gives no answer: %s", d.host, cause(err))
		}
		return
	}
	said, by := "", ""
	for _, diagnostic := range answer.Errors {
		said = fmt.Sprintf(": %.300s", diagnostic.Message)
		if detail, ok := diagnostic.Detail.(map[string]any); ok {
			by, _ = detail["denied_by"].(string)
		}
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		e.unknown(d, from, said)
	case http.StatusForbidden:
		e.denied(d, from, said, by)
	case http.StatusNotFound:
		e.add(CheckManifest, Wrong, "look at the name, at the upstream's tags and at the proxy's upstreams",
			"%s does not have %s%s", d.host, e.named, said)
	case http.StatusTooManyRequests:
		e.add(CheckManifest, Wrong, "wait, and try again", "%s has had too many requests%s", d.host, said)
	default:
		e.add(CheckManifest, Wrong, "look at the proxy's log", "%s answers %d%s", d.host, answer.StatusCode, said)
	}
}

// unknown says that a registry wants to know who asks.
func (e *examination) unknown(d *door, from, said string) {
	if from == "" && e.helper != "" {
		e.add(CheckLogin, Note, "", "%s wants a login, which comes of %s: it was not asked, so nothing more is known",
			d.host, e.helper)
		return
	}
	if from == "" {
		e.add(CheckLogin, Wrong, fmt.Sprintf("podman login --authfile /etc/ostree/auth.json %s (for podman itself without "+
			"--authfile)", d.host), "%s wants a login for %s, and this host has none%s", d.host, e.named, said)
		return
	}
	e.add(CheckLogin, Wrong, fmt.Sprintf("log in anew (podman login --authfile %s %s), or let access.rules at the proxy allow it",
		from, d.host), "%s refuses the login of %s for %s%s", d.host, from, e.named, said)
}

// denied says what a registry does not give to whom it knows. by is the word of a Strata.
func (e *examination) denied(d *door, from, said, by string) {
	switch {
	case by == "verify":
		e.add(CheckSignature, Wrong, "sign the image upstream, or put the key that it is signed with into verify at the proxy; an "+
			"older version on purpose: strata release at the proxy",
			"%s gives the image to nobody, as it is not signed as asked for there%s", d.host, said)
	case by == "upstream":
		e.add(CheckManifest, Wrong, "look at the name, and give the proxy a login (upstreams: username and password) where the "+
			"registry wants one", "the registry behind %s does not give the image%s", d.host, said)
	case from == "":
		e.add(CheckLogin, Wrong, fmt.Sprintf("let access.rules at the proxy allow it to everybody, or log in: podman login "+
			"--authfile /etc/ostree/auth.json %s", d.host), "%s does not let in who has no login, for %s%s", d.host, e.named,
			said)
	default:
		e.add(CheckLogin, Wrong, fmt.Sprintf("let access.rules at the proxy allow it, or log in as somebody else: podman login "+
			"--authfile %s %s", from, d.host), "%s does not let whom it knows by %s have %s%s", d.host, from, e.named, said)
	}
}

// watched notes what answers tell beside their content, and keeps to the scheme that was found.
type watched struct {
	*door
	e *examination
}

// RoundTrip implements http.RoundTripper.
func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !w.plain {
		return nil, fmt.Errorf("plain HTTP to %s: %w", req.URL.Host, http.ErrNotSupported)
	}
	res, err := w.client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if req.URL.Host == w.host || req.URL.Host == w.at {
		w.date, w.asked = res.Header.Get("Date"), w.e.Now()
	}
	if served := res.Header.Get("Strata-Served"); served != "" && strings.Contains(req.URL.Path, "/manifests/") &&
		w.served == "" {
		w.served = served
	}
	return res, nil
}

// authFiles are where bootc and podman look, in this order.
var authFiles = []string{"run/ostree/auth.json", "etc/ostree/auth.json", "usr/lib/ostree/auth.json",
	"run/containers/0/auth.json", "root/.config/containers/auth.json", "root/.docker/config.json"}

// credentials returns the host's login for a registry, and the file that it stands in. A program that gives logins is not
// run: it may be another machine's.
func (e *examination) credentials(host string, named reference.Named) (authn.Authenticator, string, error) {
	files := len(e.helpers) == 0
	for _, helper := range e.helpers {
		if helper == registries.AuthFiles {
			files = true
		} else if err := e.helped(helper, "registries.conf (credential-helpers)"); err != nil {
			return nil, "", err
		}
	}
	if !files {
		return authn.Anonymous, "", nil
	}
	for _, file := range authFiles {
		b, err := readFile(e.Root, file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		var document struct {
			Auths   map[string]authn.AuthConfig `json:"auths"`
			Helpers map[string]string           `json:"credHelpers"`
		}
		if err == nil {
			err = json.Unmarshal(b, &document)
		}
		if err != nil {
			return nil, "", fmt.Errorf("/%s cannot be read: %w", file, withoutContent(err))
		}
		if helper := document.Helpers[host]; helper != "" {
			return authn.Anonymous, "", e.helped(helper, "/"+file+" (credHelpers)")
		}
		for key := named.Name(); ; {
			if login, ok := document.Auths[key]; ok {
				return authn.FromConfig(login), "/" + file, nil
			}
			i := strings.LastIndexByte(key, '/')
			if i < 0 {
				break
			}
			key = key[:i]
		}
		if login, ok := byHost(document.Auths, host); ok {
			return authn.FromConfig(login), "/" + file, nil
		}
	}
	return authn.Anonymous, "", nil
}

// programs are where programs lie that give logins.
var programs = []string{"usr/bin/", "usr/local/bin/", "usr/sbin/", "usr/local/sbin/", "bin/"}

// helped looks for a program that gives logins. It is an error that it is not there.
func (e *examination) helped(name, by string) error {
	program := "docker-credential-" + name
	for _, dir := range programs {
		if _, err := fs.Stat(e.Root, dir+program); fs.ValidPath(dir+program) && err == nil {
			e.helper = fmt.Sprintf("%.100s, by %s", program, by)
			return nil
		}
	}
	return fmt.Errorf("%s leaves logins to %.100q, and the host has no such program", by, program)
}

// byHost finds a login under a name that older docker gave the registry: with a scheme and a path, or docker.io by another
// name. Of several the first in the alphabet counts.
func byHost(auths map[string]authn.AuthConfig, host string) (authn.AuthConfig, bool) {
	for _, key := range slices.Sorted(maps.Keys(auths)) {
		_, rest, schemed := strings.Cut(key, "://")
		if schemed && (strings.HasPrefix(key, "https://") || strings.HasPrefix(key, "http://")) {
			rest, _, _ = strings.Cut(rest, "/")
		} else {
			rest = key
		}
		if oneName(rest) == oneName(host) {
			return auths[key], true
		}
	}
	return authn.AuthConfig{}, false
}

// oneName is one of the names that docker.io has.
func oneName(host string) string {
	if host == "docker.io" || host == "registry-1.docker.io" {
		return "index.docker.io"
	}
	return host
}

// withoutContent keeps a file's content, which is secret, out of an error.
func withoutContent(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("no JSON after %d bytes", syntax.Offset) //nolint:errorlint // its text may quote what was read
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return errors.New("it is no file of logins")
}

func readFile(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	var failed *fs.PathError
	if errors.As(err, &failed) { // the host has it by its absolute path
		return nil, &fs.PathError{Op: failed.Op, Path: "/" + name, Err: failed.Err}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		return nil, fmt.Errorf("/%s: more than %d bytes", name, maxFile)
	}
	return b, err
}
