// Package hosts makes the files that a host needs to pull through a proxy: where names lead, whose signatures count, which
// authority to trust; and snippets that bake them into images and installers. It makes text of text: it reads and writes no
// file, and asks nobody.
package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Limits of a Setup.
const (
	maxImages = 100
	maxKeys   = 16
	maxPEM    = 64 << 10
)

// Proxy is what hosts need to know of a proxy. The keys of its JSON are those of GET /api/v1/client-config.
type Proxy struct {
	// Names are those that hosts know the proxy by, host[:port], the preferred one first.
	Names []string `json:"names"`
	// Port is that which it listens on for hosts, where they have to name it; "" where they need not, or it is not known.
	Port string `json:"port,omitempty"`
	// Keys are the public keys that it signs with, in PEM, the newest first; none when it does not sign.
	Keys []string `json:"keys"`
	// CA is the PEM of the authority of its certificate, where that is none that hosts know anyway.
	CA string `json:"ca,omitempty"`
	// Insecure says that it speaks plain HTTP.
	Insecure bool `json:"insecure"`
	// Upstreams are the registries that it pulls from; none when that is any.
	Upstreams []string `json:"upstreams"`
	// Plain are those of Upstreams that speak plain HTTP; none when that is not known.
	Plain []string `json:"plain_upstreams,omitempty"`
	// Signed are the names, beside the registries' own, that it signs images for; nil when that is not known.
	Signed []string `json:"signed_names"`
	// AnswersAs are the registries whose clients it answers when DNS leads them to it; nil when that is not known.
	AnswersAs []string `json:"answer_as"`
}

// Existing is what a host has already. What is not known is empty.
type Existing struct {
	// Known says that the host's files were looked for: what is empty then is not there.
	Known bool
	// Policy is its policy.json.
	Policy []byte
	// RootsPolicy says that its user root has a policy of its own, which replaces that.
	RootsPolicy bool
	// Attachments reports whether registries.d has a namespace, and whether signatures are looked for at the registry for
	// it. Clients refuse a namespace that two files have.
	Attachments func(namespace string) (listed, enabled bool)
	// Docker is its daemon.json.
	Docker []byte
	// Registries is what its files of registries say, but for that which was made for the proxy before.
	Registries *registries.Conf
	// Names and Signatures are the files in registries.conf.d and registries.d that were made for the proxy before. What
	// they have for other images stays.
	Names, Signatures []byte
}

// Setup is what a host's files are made of.
type Setup struct {
	// Name is the proxy's, host[:port], as hosts are to call it.
	Name  string
	Proxy Proxy
	// Images are hosts, namespaces, repositories or images in the names of their registries that are to lead to the proxy.
	// None: the proxy is used by its own name alone.
	Images []string
	// NoFallback lets names lead to the proxy alone. Else their registry is asked when the proxy does not answer.
	NoFallback bool
	// DNS says that the names lead to the proxy by DNS, so that no file has to say it.
	DNS bool
	// Admit has a policy that rejects the proxy, because it doesn't name it, accept what the proxy signed.
	Admit bool
	// UpstreamKeys are paths of public keys, which the host has, that the registries' own images are signed by.
	UpstreamKeys []string
	Existing     Existing
	// Options are those of strata client-config by which the proxy came to be known, for hints; nil: the files have what
	// they name, at their places on the host.
	Options []string
}

// File is one file of a host.
type File struct {
	// Path is absolute.
	Path    string `json:"path"`
	Content string `json:"content"`
	// About says in a line what it is for.
	About string `json:"about"`
}

// Config is all that a host needs.
type Config struct {
	// Files go to the host as they are.
	Files []File `json:"files"`
	// Snippets are for people to take from; their paths are names.
	Snippets []File `json:"snippets"`
	// Notes say what the files cannot do, and what has to be done by hand.
	Notes []string `json:"notes"`
	// Command makes the same on the host, with what the host has.
	Command string `json:"command"`
}

// setup is a Setup that was checked.
type setup struct {
	Setup
	scopes []scope // of Images, and of the files that were made before
	image  string  // the first of Images that is one, with a tag or digest, else ""
	keys   []keys.Public
	config *Config
}

// Make makes the files. An error says in a line what is wrong with the setup.
func Make(s Setup) (*Config, error) {
	c := &setup{Setup: s, config: &Config{Files: []File{}, Snippets: []File{}, Notes: []string{}}}
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.others(); err != nil {
		return nil, err
	}
	c.names()
	if err := c.trust(); err != nil {
		return nil, err
	}
	c.authority()
	c.containerd()
	if err := c.docker(); err != nil {
		return nil, err
	}
	c.config.Command = c.command("/")
	c.snippets()
	return c.config, nil
}

var hostName = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$`)

func (s *setup) check() error {
	switch {
	case !validHost(s.Name):
		return fmt.Errorf("%.200q is no name of a proxy: write HOST or HOST:PORT, without https://", s.Name)
	case s.DNS && (s.Proxy.Insecure || len(s.Images) == 0):
		return errors.New("names that DNS leads to the proxy are asked over HTTPS: give it certificates for them (tls), and name " +
			"images here")
	case len(s.Images) > maxImages:
		return fmt.Errorf("more than %d images", maxImages)
	case len(s.Proxy.Keys) > maxKeys || len(s.UpstreamKeys) > maxKeys:
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	for _, key := range s.Proxy.Keys {
		read, err := keys.ParsePublic([]byte(key))
		if err != nil {
			return fmt.Errorf("a key for hosts, which has to be a public one as strata key public writes it: %w", err)
		}
		for _, k := range read { // clients read one key of a file
			if !slices.ContainsFunc(s.keys, func(have keys.Public) bool { return have.ID() == k.ID() }) {
				s.keys = append(s.keys, k)
			}
		}
	}
	for _, key := range s.UpstreamKeys {
		if !path.IsAbs(key) || !legible.Plain(key) {
			return fmt.Errorf("the key %.200q has to be named as the host finds it: by an absolute path", key)
		}
	}
	var err error
	if s.Proxy.CA, err = authorities(s.Proxy.CA); err != nil {
		return err
	}
	if err := s.before(); err != nil {
		return err
	}
	for _, image := range s.Images {
		if err := s.addImage(image); err != nil {
			return err
		}
	}
	return nil
}

func validHost(h string) bool {
	if len(h) > 255 || !hostName.MatchString(h) {
		return false
	}
	colon := strings.LastIndexByte(h, ':')
	if colon < 0 || strings.HasSuffix(h, "]") {
		return true
	}
	port, err := strconv.ParseUint(h[colon+1:], 10, 16)
	return err == nil && port > 0
}

func (s *setup) add(path, about, content string) {
	s.config.Files = append(s.config.Files, File{path, content, about})
}

func (s *setup) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(s.config.Notes, n) {
		s.config.Notes = append(s.config.Notes, n)
	}
}

// base is the proxy's name as part of a file's.
func (s *setup) base() string { return base(s.Name) }

func base(proxy string) string {
	return "strata-" + regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(proxy, "-")
}

// under is the name by which the proxy has a repository, namespace or host. It knows upstreams without their ports, which
// clients allow in the first element alone.
func (s *setup) under(scope string) string {
	host, rest, _ := strings.Cut(scope, "/")
	return path.Join(s.Name, portless(host), rest)
}

// KeyPath is where a host has the nth key of a proxy, counted from 0.
func (s *setup) keyPath(n int) string {
	if n == 0 {
		return "/etc/pki/containers/" + s.base() + ".pub"
	}
	return fmt.Sprintf("/etc/pki/containers/%s-%d.pub", s.base(), n+1)
}

// trust makes what has to do with signatures: keys, registries.d and policy.json.
func (s *setup) trust() error {
	if len(s.keys) == 0 {
		s.note("no public key of the proxy is known, so its images are not signed for hosts: a policy that asks for a signature " +
			"refuses what was rechunked. Sign at the proxy (signing.key_file), then name the key with --key or --admin")
		if s.Existing.Known && s.Existing.Policy == nil {
			s.note("the host has no policy.json, without which podman, skopeo and bootc refuse every image, and none can be made " +
				"without a key: the package containers-common has one")
		}
		return nil
	}
	paths, pems := slices.Clone(s.UpstreamKeys), [][]byte{}
	for i, key := range s.keys {
		paths, pems = append(paths, s.keyPath(i)), append(pems, key.PEM())
		s.add(s.keyPath(i), "the public key that the proxy signs with", string(key.PEM()))
	}
	if err := s.attachments(); err != nil {
		return err
	}
	p, about, admit, err := s.policy()
	if err != nil {
		return err
	}
	signed := s.signs()
	own := policy.Grant{Scope: s.Name, Paths: paths[len(s.UpstreamKeys):], PEMs: pems, Demand: signed, Admit: admit &&
		signed}
	p, notes := p.Trust(own)
	for _, scope := range s.scopes {
		g := policy.Grant{Scope: scope.name, Paths: own.Paths, PEMs: pems, Admit: admit}
		// While the registry itself is a fallback, its images are accepted as before.
		g.Demand = scope.noFallback && !scope.ported()
		if !scope.before {
			g.Paths, g.Demand = paths, g.Demand || len(s.UpstreamKeys) > 0
		}
		var more []string
		p, more = p.Trust(g)
		notes = append(notes, more...)
	}
	for _, n := range notes {
		s.note("policy.json: %s", n)
	}
	if s.Existing.RootsPolicy {
		s.note("/root/.config/containers/policy.json replaces /etc/containers/policy.json for root's podman and skopeo, and for " +
			"bootc: remove it, or make it the same")
	}
	text := string(p.Bytes())
	s.add("/etc/containers/policy.json", about, text)
	if strings.Contains(text, `"keyPaths"`) {
		s.note("keyPaths in policy.json needs containers/image 5.33: skopeo 1.17, podman 5.3, bootc on Fedora 41")
	}
	return nil
}

// policy is the host's, or a new one, with what its file is about, and whether what it rejects is to be accepted.
func (s *setup) policy() (p *policy.Policy, about string, admit bool, err error) {
	if s.Existing.Policy != nil {
		if p, err = policy.Parse(s.Existing.Policy); err != nil {
			return nil, "", false, fmt.Errorf("the host's policy.json: %w", err)
		}
		return p, "the host's policy, with the proxy's key beside the keys that it has", s.Admit, nil
	}
	about = "a policy for a host that has none: all is rejected but what the proxy's key signed"
	if s.Existing.Known {
		s.note("the host has no policy.json: the new one rejects whatever is not named here")
	} else {
		about += "; where there is one, merge the two"
		s.note("no policy of a host was read, so policy.json rejects whatever is not named here: strata client-config merges " +
			"it with the host's by --policy FILE, --root DIR or, on the host, --write /")
	}
	return &policy.Policy{Default: []policy.Requirement{{Type: policy.Reject}}}, about, true, nil
}

// signs reports whether the proxy signs for the name that hosts know it by, as far as that is known.
func (s *setup) signs() bool {
	if s.Proxy.Signed == nil || slices.Contains(s.Proxy.Signed, s.Name) {
		return true
	}
	s.note("the proxy does not sign for the name %[1]s, so no signature is asked for by it, and pulls of %[1]s/… fail where the "+
		"policy asks for one: add %[1]s to signing.names at the proxy", s.Name)
	return false
}

// document is JSON for people.
func document(v any) string {
	b, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		panic(err) // maps of what was read as JSON
	}
	return string(b) + "\n"
}
