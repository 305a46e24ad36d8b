// Package registries reads what podman, skopeo, buildah and bootc know of registries: registries.conf with its drop-ins,
// which says where names lead (containers-registries.conf(5)), and registries.d, which says where signatures are looked for
// (containers-registries.d(5)). It decides as containers/image 5.36 does.
package registries

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/distribution/reference"
)

// Where the files lie below a root.
const (
	ConfFile = "etc/containers/registries.conf"
	ConfDir  = "etc/containers/registries.conf.d"
	SignDir  = "etc/containers/registries.d"
	// Root's own come in place of the system's, drop-ins of names behind those.
	rootConfFile = "root/.config/containers/registries.conf"
	rootConfDir  = "root/.config/containers/registries.conf.d"
	rootSignDir  = "root/.config/containers/registries.d"
)

// Limits of what is read.
const (
	maxFile  = 1 << 20
	maxFiles = 1000
	maxTable = 10_000
)

// AuthFiles among Helpers are the files of logins.
const AuthFiles = "containers-auth.json"

// ErrInvalid says that clients would refuse a file, and with it every pull.
var ErrInvalid = errors.New("invalid configuration of registries")

// Endpoint is a place that images are pulled from.
type Endpoint struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	// PullFromMirror is "", "all", "digest-only" or "tag-only"; of mirrors alone.
	PullFromMirror string `toml:"pull-from-mirror"`
}

// Registry is a [[registry]].
type Registry struct {
	Prefix string `toml:"prefix"`
	Endpoint
	Blocked            bool       `toml:"blocked"`
	MirrorByDigestOnly bool       `toml:"mirror-by-digest-only"`
	Mirrors            []Endpoint `toml:"mirror"`
	// File is where it stands.
	File string `toml:"-"`
}

// Conf is what all files say together.
type Conf struct {
	Registries []Registry
	// Helpers are the sources of logins in their order, programs docker-credential-NAME or AuthFiles; empty stands for that.
	Helpers []string
	// Aliases are the names of images without a registry.
	Aliases map[string]string
	// Warnings are what clients pass over in silence: settings that they don't know, entries that another file replaces.
	Warnings []string
}

// document is one file; Registries that are a table are of the first version of the format.
type document struct {
	Registry []Registry `toml:"registry"`
	V1       struct {
		Search   struct{ Registries []string } `toml:"search"`
		Insecure struct{ Registries []string } `toml:"insecure"`
		Block    struct{ Registries []string } `toml:"block"`
	} `toml:"registries"`
	Search    []string          `toml:"unqualified-search-registries"`
	Helpers   []string          `toml:"credential-helpers"`
	ShortMode string            `toml:"short-name-mode"`
	Layers    string            `toml:"additional-layer-store-auth-helper"`
	Aliases   map[string]string `toml:"aliases"`
}

// first and second report whether a file has settings of that version of the format, if only empty ones.
func (d *document) first() bool {
	return d.V1.Search.Registries != nil || d.V1.Insecure.Registries != nil || d.V1.Block.Registries != nil
}

func (d *document) second() bool {
	return d.Registry != nil || d.Search != nil || d.Helpers != nil || d.ShortMode != "" || d.Layers != ""
}

// Read reads the files below a root that count for its user root, but for drop-ins that skip names. What is not there is
// empty.
func Read(root fs.FS, skip ...string) (*Conf, error) {
	c := &Conf{}
	names := []string{ConfFile}
	if there(root, rootConfFile) {
		names[0] = rootConfFile
		c.warn("/%s replaces /%s", rootConfFile, ConfFile)
	}
	for _, dir := range []string{ConfDir, rootConfDir} {
		more, err := list(root, dir, ".conf")
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	for i, name := range names {
		if i > 0 && slices.Contains(skip, path.Base(name)) {
			continue
		}
		b, err := read(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = c.add(name, b, i == 0)
		}
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", name, err)
		}
	}
	return c, nil
}

// Parse reads one file, as a drop-in.
func Parse(name string, b []byte) (*Conf, error) {
	c := &Conf{}
	return c, c.add(name, b, false)
}

func (c *Conf) add(name string, b []byte, first bool) error {
	var d document
	meta, err := toml.Decode(string(b), &d)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for i, key := range meta.Undecoded() {
		if i < 10 {
			c.warn("/%s: %.100q is unknown and has no effect", name, key.String())
		}
	}
	old := append(slices.Clone(d.V1.Insecure.Registries), d.V1.Block.Registries...)
	if d.first() {
		c.warn("/%s is of the first version of the format, [registries.…], which newer clients (skopeo 1.22) refuse: write [[registry]]", name)
		if !first || d.second() {
			return fmt.Errorf("%w: [registries.…] is of the first version of the format, and clients take no mixture: write "+
				"[[registry]]", ErrInvalid)
		}
		for _, location := range old {
			r := Registry{Endpoint: Endpoint{Location: location}}
			r.Insecure = slices.Contains(d.V1.Insecure.Registries, location)
			r.Blocked = slices.Contains(d.V1.Block.Registries, location)
			d.Registry = append(d.Registry, r)
		}
	}
	if len(d.Registry)+len(c.Registries) > maxTable {
		return fmt.Errorf("%w: more than %d entries", ErrInvalid, maxTable)
	}
	if err := checkAll(d.Registry); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !slices.Contains([]string{"", "disabled", "enforcing", "permissive"}, d.ShortMode) {
		return fmt.Errorf("%w: short-name-mode %.40q is unknown: disabled, enforcing, permissive", ErrInvalid, d.ShortMode)
	}
	c.merge(name, d.Registry)
	if len(d.Helpers) > 0 {
		c.Helpers = d.Helpers
	}
	for short, full := range d.Aliases {
		if err := checkAlias(short, full); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if c.Aliases == nil {
			c.Aliases = map[string]string{}
		}
		if c.Aliases[short] = full; len(c.Aliases) > maxTable {
			return fmt.Errorf("%w: more than %d aliases", ErrInvalid, maxTable)
		}
	}
	return nil
}

// checkAlias is what clients ask of an alias: a name without a registry, and one with, neither with a tag or digest. An
// empty one takes back what another file says.
func checkAlias(short, full string) error {
	name, err := reference.Parse(short)
	if named, ok := name.(reference.Named); err != nil || !ok || !reference.IsNameOnly(named) || hasRegistry(named) {
		return fmt.Errorf("the alias %.200q is no name without a registry, tag and digest", short)
	}
	if full == "" {
		return nil
	}
	name, err = reference.Parse(full)
	if named, ok := name.(reference.Named); err != nil || !ok || !reference.IsNameOnly(named) || !hasRegistry(named) {
		return fmt.Errorf("the alias %.200q stands for %.200q, which is no REGISTRY/REPOSITORY without tag and digest",
			short, full)
	}
	return nil
}

func hasRegistry(named reference.Named) bool {
	host := reference.Domain(named)
	return strings.ContainsAny(host, ".:") || host == "localhost"
}

// merge puts in the entries of a file. Of equal prefixes the first of a file counts, and the last file.
func (c *Conf) merge(name string, more []Registry) {
	seen := map[string]bool{}
	for _, r := range more {
		if seen[r.Prefix] {
			c.warn("/%s: the prefix %q comes twice, and the second has no effect", name, r.Prefix)
			continue
		}
		seen[r.Prefix], r.File = true, name
		i := slices.IndexFunc(c.Registries, func(have Registry) bool { return have.Prefix == r.Prefix })
		if i < 0 {
			c.Registries = append(c.Registries, r)
			continue
		}
		c.warn("/%s replaces the entry for %q in /%s", name, r.Prefix, c.Registries[i].File)
		c.Registries[i] = r
	}
}

func (c *Conf) warn(format string, args ...any) {
	if len(c.Warnings) < 100 {
		c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
	}
}

// checkAll puts the entries of one file in order, or says why clients refuse it.
func checkAll(registries []Registry) error {
	for i := range registries {
		if err := registries[i].check(); err != nil {
			return err
		}
	}
	byLocation := map[string]*Registry{}
	for i := range registries {
		r := &registries[i]
		key := r.Location
		if key == "" {
			key = r.Prefix
		}
		have := byLocation[key]
		if have == nil {
			byLocation[key] = r
			continue
		}
		if have.Insecure != r.Insecure || have.Blocked != r.Blocked {
			return fmt.Errorf("the location %q comes twice, with insecure or blocked different", key)
		}
	}
	return nil
}

func (r *Registry) check() error {
	var err error
	if r.Location, err = location(r.Location); err != nil {
		return err
	}
	if r.Prefix, err = location(r.Prefix); err != nil {
		return err
	}
	wild := strings.HasPrefix(r.Prefix, "*.")
	switch {
	case r.Prefix == "" && r.Location == "":
		return errors.New("a [[registry]] has neither prefix nor location")
	case r.Location == "" && !wild:
		return fmt.Errorf("the registry %q has no location", r.Prefix)
	case wild && strings.ContainsAny(r.Prefix, "/@:"):
		return fmt.Errorf("the prefix %q is no *.DOMAIN", r.Prefix)
	case r.PullFromMirror != "":
		return fmt.Errorf("pull-from-mirror is for mirrors, not for the registry %q", cmpOr(r.Prefix, r.Location))
	}
	r.Prefix = cmpOr(r.Prefix, r.Location)
	for i := range r.Mirrors {
		m := &r.Mirrors[i]
		if m.Location, err = location(m.Location); err != nil {
			return err
		}
		switch {
		case m.Location == "":
			return fmt.Errorf("a mirror of %q has no location", r.Prefix)
		case !slices.Contains([]string{"", "all", "digest-only", "tag-only"}, m.PullFromMirror):
			return fmt.Errorf("pull-from-mirror %.40q of the mirror %s is unknown: all, digest-only, tag-only",
				m.PullFromMirror,
				m.Location)
		case r.MirrorByDigestOnly && m.PullFromMirror != "":
			return fmt.Errorf("mirror-by-digest-only of %q and pull-from-mirror of its mirror %s exclude each other",
				r.Prefix,
				m.Location)
		}
	}
	return nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func location(s string) (string, error) {
	s = strings.TrimRight(s, "/")
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return "", fmt.Errorf("the location %.200q has a scheme: write HOST[:PORT][/PATH], and insecure = true for plain HTTP", s)
	}
	return s, nil
}

// Find returns the entry with the longest prefix of a name, or nil.
func (c *Conf) Find(named reference.Named) *Registry { return c.FindName(named.Name()) }

// FindName is Find for a host, a namespace or a repository.
func (c *Conf) FindName(name string) *Registry {
	var found *Registry
	for i := range c.Registries {
		r := &c.Registries[i]
		if matching(name, r.Prefix) >= 0 && (found == nil || len(r.Prefix) > len(found.Prefix)) {
			found = r
		}
	}
	return found
}

// matching is how many bytes of a name a prefix stands for, or -1.
func matching(name, prefix string) int {
	end := len(prefix)
	if domain, wild := strings.CutPrefix(prefix, "*"); wild {
		i := strings.Index(name, domain)
		if i < 0 || strings.Contains(name[:i], "/") {
			return -1
		}
		end = i + len(domain)
	} else if !strings.HasPrefix(name, prefix) {
		return -1
	}
	if end == len(name) || strings.ContainsRune(":/@", rune(name[end])) {
		return end
	}
	return -1
}

// Blocks returns the entry by which nothing is pulled of a host, a namespace or a repository itself, or nil. It is the place
// that is blocked, and not the name; mirrors may have it all the same.
func (c *Conf) Blocks(name string) *Registry {
	at := name
	if r := c.FindName(name); r != nil && r.Location != "" {
		at = r.Location + name[matching(name, r.Prefix):]
	}
	if r := c.FindName(at); r != nil && r.Blocked {
		return r
	}
	return nil
}

// Counts reports whether an entry in one file counts more than one with the same prefix in another: drop-ins more than the
// main file, root's own more than the system's, the later name more than the earlier.
func Counts(file, than string) bool {
	rank := func(name string) int {
		return slices.Index([]string{path.Dir(ConfFile), path.Dir(rootConfFile), ConfDir, rootConfDir}, path.Dir(name))
	}
	if a, b := rank(file), rank(than); a != b {
		return a > b
	}
	return file > than
}

// Holds reports whether an entry is for a name, unless another one has a longer prefix.
func (r *Registry) Holds(named reference.Named) bool { return matching(named.Name(), r.Prefix) >= 0 }
