package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Seed is where an edge finds files that it need not fetch: in its own store, or in a root file system.
type Seed struct {
	// Store stands for the layers in the edge's own store.
	Store bool `yaml:"store"`
	// Root is the path of a root file system, such as that of the host: "/". It is only read.
	Root string `yaml:"root"`
	// Image is the digest of the manifest whose files lie there, for a root that does not tell: without a deployment of
	// ostree or bootc. When it is wrong, that only costs bytes.
	Image string `yaml:"image"`
}

// Deltas bound what is done for deltas from and to other Stratas.
type Deltas struct {
	// Wait is how long an edge waits for a delta that its central is making, before it fetches the layer whole. 0 does not.
	Wait Duration `yaml:"wait"`
	// CPU is how many processors making deltas and wrapping again may use. 0 makes no deltas.
	CPU int `yaml:"cpu"`
	// Memory is what all deltas that are being made may hold together, Queue how many may wait for their turn.
	Memory ByteSize `yaml:"memory"`
	Queue  int      `yaml:"queue"`
	// Keep is how many bytes of deltas stay in the store. They count against the quota and go first. 0 keeps none.
	Keep ByteSize `yaml:"keep"`
	// Prefer says what an edge saves where it cannot save both.
	Prefer Prefer `yaml:"prefer"`
}

// Prefer says what an edge saves where it cannot save both.
type Prefer string

// The choices for prefer.
const (
	PreferTime  Prefer = "time"  // a file is fetched whole where that is quicker than to make it again
	PreferBytes Prefer = "bytes" // whatever is fewer bytes
)

// UnmarshalText accepts the name of a choice.
func (p *Prefer) UnmarshalText(text []byte) error { return oneOf(p, text, PreferTime, PreferBytes) }

// Via reports whether a registry's images come from another Strata, and then as they are there.
func (c *Config) Via(host string) bool { return c.Upstreams[host].Via != "" }

// Edge reports whether any registry's images come from another Strata.
func (c *Config) Edge() bool {
	for host := range c.Upstreams {
		if c.Via(host) {
			return true
		}
	}
	return false
}

// KeepsLayers reports whether layers that come from another Strata stay in the store. Where root file systems are the only
// seeds, the host has the files already.
func (c *Config) KeepsLayers() bool {
	return len(c.Seeds) == 0 || slices.ContainsFunc(c.Seeds, func(s Seed) bool { return s.Store })
}

const (
	// leastDeltaMemory is what matching large files takes at the least.
	leastDeltaMemory = 64 << 20
	// mostDeltas bounds the deltas that wait: each takes some memory.
	mostDeltas = 100_000
)

// mostSeeds bounds the seeds: each is looked at for every layer.
const mostSeeds = 8

func (v *validator) edge(c *Config) {
	if len(c.Seeds) > mostSeeds {
		v.problem("seeds", "has %d entries, more than the limit of %d", len(c.Seeds), mostSeeds)
		return
	}
	for i, s := range c.Seeds {
		v.seed("seeds["+strconv.Itoa(i)+"]", s, c.Seeds[:i])
	}
	v.duration("deltas.wait", c.Deltas.Wait, true)
	v.between("deltas.cpu", c.Deltas.CPU, 0, mostJobs)
	if c.Deltas.Memory < leastDeltaMemory {
		v.problem("deltas.memory", "is %s, less than the least of %s: write 512MiB, or cpu: 0 to make no deltas",
			c.Deltas.Memory, ByteSize(leastDeltaMemory))
	}
	v.between("deltas.queue", c.Deltas.Queue, 1, mostDeltas)
	if c.Deltas.Keep < 0 {
		v.problem("deltas.keep", "is negative: write 0 to keep no deltas")
	}
}

func (v *validator) seed(key string, s Seed, before []Seed) {
	switch {
	case s.Store && s.Root != "":
		v.problem(key, "is both store and root: write two entries")
	case !s.Store && s.Root == "":
		v.problem(key, "names no files: write store: true for the edge's own store, or root: / for the host's files")
	case s.Image != "" && s.Root == "":
		v.problem(key+".image", "is set without root: only a root file system does not tell what it holds")
	case s.Image != "" && digest.Digest(s.Image).Validate() != nil:
		v.problem(key+".image", "%s is no digest of a manifest: write sha256: and 64 letters and digits", quote(s.Image))
	case slices.ContainsFunc(before, func(other Seed) bool { return other.Store == s.Store && other.Root == s.Root }):
		v.problem(key, "is there twice: remove one")
	}
}

// via checks the way to another Strata.
func (v *validator) via(key string, u Upstream) {
	switch {
	case u.Via == "":
	case u.URL != "":
		v.problem(key+".via", "is set together with url: keep via for another Strata, url for the registry itself")
	default:
		v.base(key+".via", u.Via, "https://strata.example", u.Insecure)
	}
}

// base checks the URL of a registry, or of another Strata.
func (v *validator) base(key, text, example string, insecure bool) {
	parsed, err := url.Parse(text)
	if err != nil { // the error would repeat the URL, which may hold a password
		v.problem(key, "is no URL: write one such as %s", example)
		return
	}
	switch {
	case parsed.User != nil:
		v.problem(key, "has a user name in it: use username with password or password_file")
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		v.problem(key, "%s starts with neither https:// nor http://", quote(text))
	case parsed.Hostname() == "":
		v.problem(key, "%s names no host: write one such as %s", quote(text), example)
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
		v.problem(key, "%s has more than scheme and host: a registry answers at /v2/ of its host", quote(text))
	case parsed.Scheme == "http" && !insecure:
		v.problem(key, "%s is not encrypted, so anyone on the way can replace images and read passwords: "+
			"write https://, or add insecure: true if that is meant", quote(text))
	}
}

// absoluteSeeds makes the roots' paths absolute.
func (c *Config) absoluteSeeds(r *resolver) {
	for i, s := range c.Seeds {
		if s.Root != "" {
			c.Seeds[i].Root = filepath.Clean(r.path(s.Root, fmt.Sprintf("seeds[%d].root", i)))
		}
	}
}
