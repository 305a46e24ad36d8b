package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	policyFile = "etc/containers/policy.json"
	// userPolicy is root's own, which replaces the system's.
	userPolicy = "root/.config/containers/policy.json"
	// sharedPolicy is the distribution's.
	sharedPolicy = "usr/share/containers/policy.json"
)

// policy finds the entry that applies, and tries the image's signatures by it.
func (e *examination) policy(ctx context.Context, sources []registries.Source, p *pulled) {
	file := userPolicy
	b, err := readFile(e.Root, file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		file = policyFile
		b, err = readFile(e.Root, file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if more, merr := readFile(e.Root, sharedPolicy); merr == nil {
			file, b, err = sharedPolicy, more, nil
			e.add(CheckPolicy, Note, "", "/%s is not there, and /%s counts, which only newer clients read (skopeo 1.22)",
				policyFile, file)
		}
	}
	if err != nil {
		e.unwritten(err)
		return
	}
	parsed, err := policy.Parse(b)
	if err != nil {
		e.add(CheckPolicy, Wrong, "mend the file: clients refuse every image while it is so", "/%s: %v", file, err)
		return
	}
	m := parsed.Find(e.named)
	e.hidden(parsed, m)
	asks := false
	for _, r := range m.Requirements {
		asks = e.requirement(m, file, r) || asks
	}
	if asks {
		e.signed(ctx, m, sources, p)
	}
}

// proxyKey is the option with the proxy's public key, without which strata client-config makes no policy.
const proxyKey = "--key PROXY.pub"

// clientConfig is the call of strata client-config that makes the host's files for the image: by the proxy that was found,
// if one was.
func (e *examination) clientConfig(options ...string) string {
	proxy, image := "PROXY", " "+e.named.Name()
	for _, d := range e.doors {
		if d.served == "" {
			continue
		}
		proxy = d.host
		of, _, nested := strings.Cut(reference.Path(e.named), "/")
		if proxy == reference.Domain(e.named) && nested && strings.ContainsAny(of, ".:") {
			image = "" // it is called by the proxy's own name
		}
		break
	}
	return fmt.Sprintf("strata client-config %s --write %s %s%s", strings.Join(options, " "), e.Dir, proxy, image)
}

// unwritten tells of a policy that is not there, or cannot be read.
func (e *examination) unwritten(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		e.add(CheckPolicy, Wrong, "let clients read it: they refuse every image while they cannot", "%v", err)
		return
	}
	e.add(CheckPolicy, Wrong, fmt.Sprintf("install the package containers-common, which has one, or, where the proxy signs, write one "+
		"with its key (strata key public at the proxy): %s", e.clientConfig(proxyKey)),
		"there is no /%s, and clients refuse every image without", policyFile)
}

// hidden tells of an entry that asks for signatures and does not count, as a nearer one accepts anything.
func (e *examination) hidden(p *policy.Policy, m policy.Match) {
	if m.Global || m.Scope == "" || m.Requirements[0].Type != policy.AcceptAnything {
		return
	}
	scopes := policy.Scopes(e.named)
	for _, scope := range scopes[slices.Index(scopes, m.Scope)+1:] {
		for _, r := range p.Transports[policy.Docker][scope] {
			if r.Type != policy.AcceptAnything && r.Type != policy.Reject {
				e.add(CheckPolicy, Note, "",
					"the entry %q asks for signatures and does not count for the image: %s is nearer, and "+
						"accepts anything", scope, m)
				return
			}
		}
	}
}

// requirement tells of one. It reports whether it is of sigstore, which can be tried.
func (e *examination) requirement(m policy.Match, file string, r policy.Requirement) bool {
	change := fmt.Sprintf("add an entry for %s to /%s: %s", e.named.Name(), file, e.clientConfig("--admit", proxyKey))
	if !m.Global && m.Scope != "" {
		change = fmt.Sprintf("somebody wants %s rejected: take that entry out of /%s, or have it ask for a signature by the proxy's "+
			"key (sigstoreSigned)", m.Scope, file)
	}
	switch r.Type {
	case policy.AcceptAnything:
		e.fine(CheckPolicy, "%s applies: signed or not", m)
	case policy.Reject:
		e.add(CheckPolicy, Wrong, change, "%s applies and rejects the image", m)
	case policy.SigstoreSigned:
		e.fine(CheckPolicy, "%s applies: signed by %s, identity %s", m, keyNames(r), r.Identity)
		return true
	default:
		e.add(CheckPolicy, Wrong, "have the proxy serve the image as it is (rechunk: never), or ask for the proxy's key "+
			"(sigstoreSigned) in its place",
			"%s applies and asks for a GPG signature (%s), which no image has that was rechunked",
			m, r.Type)
	}
	return false
}

// keyNames are the keys of a requirement for people.
func keyNames(r policy.Requirement) string {
	switch {
	case r.Fulcio != nil:
		return "a certificate of fulcio"
	case r.PKI != nil:
		return "a certificate of an authority"
	case r.KeyData != nil || r.KeyDatas != nil:
		return legible.Word(max(1, len(r.KeyDatas)), "the key in the policy itself",
			fmt.Sprintf("one of %d keys in the policy itself", len(r.KeyDatas)))
	case len(r.KeyPaths) > 0:
		return "one of " + strings.Join(r.KeyPaths, ", ")
	}
	return r.KeyPath
}

// keyError is a key that clients cannot read.
type keyError struct {
	where string
	err   error
}

func (k *keyError) Error() string { return fmt.Sprintf("the key %s: %v", k.where, k.err) }
func (k *keyError) Unwrap() error { return k.err }

// loadKeys reads a requirement's keys as clients do: each file holds one, and one that can't be read fails all.
func (e *examination) loadKeys(r policy.Requirement) ([]any, error) {
	paths := r.KeyPaths
	if r.KeyPath != "" {
		paths = []string{r.KeyPath}
	}
	var keys []any
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") {
			return nil, &keyError{path, errors.New("the path is not absolute: clients look for it where they are started")}
		}
		b, err := readFile(e.Root, strings.TrimPrefix(path, "/"))
		if err != nil {
			return nil, &keyError{path, err}
		}
		key, err := parseKey(b)
		if err != nil {
			return nil, &keyError{path, err}
		}
		keys = append(keys, key)
	}
	data := r.KeyDatas
	if r.KeyData != nil {
		data = [][]byte{r.KeyData}
	}
	for i, b := range data {
		key, err := parseKey(b)
		if err != nil {
			return nil, &keyError{fmt.Sprintf("%d in the policy", i+1), err}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKey(b []byte) (any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("it is a %.40q, not a public key", block.Type)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// attachments tells whether the client looks for signatures at the registry that is asked.
func (e *examination) attachments(asked reference.Named) bool {
	dir := registries.SignaturesDir(e.Root)
	s, err := registries.ReadSignatures(e.Root, dir)
	if err != nil {
		fix := "mend the file"
		if errors.Is(err, registries.ErrTwice) {
			fix = "keep one of them"
		}
		e.add(CheckSignature, Wrong, fix+": clients refuse every pull while it is so", "%v", err)
		return false
	}
	on, where := s.Attachments(asked)
	if on {
		e.fine(CheckSignature, "looked for at %s, by %s", reference.Domain(asked), where)
		return true
	}
	e.unread(CheckSignature, ".yaml", registries.UnreadSignatures(e.Root))
	host := reference.Domain(asked)
	text := fmt.Sprintf("nothing in /%s says so", dir)
	if where != "" {
		text = where + " says no"
	}
	if url, _ := s.Lookaside(asked); url != "" {
		text += ", and a lookaside at " + url + " has signatures of another kind"
	}
	e.add(CheckSignature, Wrong, fmt.Sprintf(`in /%s/50-strata.yaml: {docker: {"%s": `+
		`{use-sigstore-attachments: true}}}`, dir, host), "the client does not look for signatures at %s: %s", host, text)
	return false
}
