package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
)

// Bounds on numbers. They are far above what makes sense and keep a slip of the finger from using up the machine.
const (
	mostJobs        = 256
	mostVersions    = 1000
	mostLayers      = 1000
	mostLayerCost   = ByteSize(1 << 30)
	mostAttempts    = 20
	mostConnections = 10_000
	leastBandwidth  = 1 << 10 // bytes per second
	mostRules       = 10_000
	longestTime     = 10 * 365 * 24 * time.Hour
	safeLayers      = 120 // what every client takes
)

// validator collects what is wrong with a decoded configuration.
type validator struct {
	origins  map[string]string
	problems []Problem
	warnings []Problem
}

// where returns the place that set a key, or the nearest key above it.
func (v *validator) where(key string) string {
	for key != "" {
		if origin := v.origins[key]; origin != "" {
			return origin
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return "default"
}

func (v *validator) problem(key, format string, args ...any) {
	v.problems = append(v.problems, Problem{v.where(key), key, fmt.Sprintf(format, args...)})
}

func (v *validator) warning(key, format string, args ...any) {
	v.warnings = append(v.warnings, Problem{v.where(key), key, fmt.Sprintf(format, args...)})
}

func (v *validator) between(key string, n, least, most int) {
	if n < least || n > most {
		v.problem(key, "%d is out of range: write %d to %d", n, least, most)
	}
}

func (v *validator) duration(key string, d Duration, zero bool) {
	switch {
	case d < 0:
		v.problem(key, "%s is negative: write a time from now on, such as 60s", d)
	case d == 0 && !zero:
		v.problem(key, "is 0, so nothing would ever finish in time: write a time such as 60s")
	case time.Duration(d) > longestTime:
		v.problem(key, "%s is longer than ten years, which is the limit", d)
	}
}

func (v *validator) config(c *Config) {
	v.listeners(c)
	v.tls("tls", c.TLS)
	v.tls("admin.tls", c.Admin.TLS)
	v.answerAs(c)
	v.access(c)
	v.limits(c.Limits)
	v.duration("shutdown_timeout", c.ShutdownTimeout, true)
	v.between("jobs", c.Jobs, 1, mostJobs)
	if c.CacheBytes < 0 {
		v.problem("cache_bytes", "is negative: write 0 for no cache")
	}
	v.tracing(c.Tracing)
	v.upkeep(c)
	v.storage(c.Storage)
	v.redis(c.Redis)
	v.notifications(c.Notifications)
	v.fleet(c)
	v.edge(c)
	v.casync(c.Casync)
	if c.Redirect && (c.Storage.Driver == filesystemDriver || c.Storage.Driver == "inmemory") {
		v.problem("redirect", "needs a storage backend that clients can reach, such as s3: remove it")
	}
	v.signing(c.Signing)
	if c.DefaultUpstream != "" && !isHost(c.DefaultUpstream) {
		v.problem("default_upstream",
			"%s is no registry host: write a host name with a dot, such as ghcr.io, without scheme or path",
			quote(c.DefaultUpstream))
	}
	for _, host := range slices.Sorted(maps.Keys(c.Upstreams)) {
		v.upstream("upstreams."+host, host, c.Upstreams[host])
	}
	if len(c.Repositories) > mostRules {
		v.problem("repositories", "has %d rules, more than the limit of %d", len(c.Repositories), mostRules)
		return
	}
	for i := range c.Repositories {
		key := "repositories[" + strconv.Itoa(i) + "]"
		v.rule(key, &c.Repositories[i])
		v.require(key+".rollout.require", c.Repositories[i].Rollout, c.Fleet)
	}
	v.unreachable(c.Repositories)
	v.verifiedFamilies(c)
}

func (v *validator) listeners(c *Config) {
	host, port, ok := v.address("listen", c.Listen)
	adminHost, adminPort, adminOK := v.address("admin.listen", c.Admin.Listen)
	if !ok || !adminOK {
		return
	}
	if port == adminPort && port != 0 && (host == adminHost || wildcard(host) || wildcard(adminHost)) {
		v.problem("admin.listen", "%s is the address of listen too: give it another port, such as %d",
			quote(c.Admin.Listen), port%65535+1)
	}
	v.admin(c.Admin, Loopback(adminHost))
	if c.Access.HtpasswdFile != "" && !c.TLS.Enabled() && !Loopback(host) {
		v.warning("access.htpasswd_file", "passwords come in over plain HTTP: set tls, or put a proxy with TLS in front")
	}
}

// address checks a host:port to listen on.
func (v *validator) address(key, address string) (host string, port int, ok bool) {
	host, portText, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(portText)
	}
	if err != nil || port < 0 || port > 65535 || strings.ContainsAny(host, " /@") {
		v.problem(key, "%s is no address to listen on: write host:port, such as 127.0.0.1:5000 or :5000", quote(address))
		return "", 0, false
	}
	return host, port, true
}

func wildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// Loopback reports whether a host, a name or an address without a port, is this machine by itself.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// both checks two files of which either both are set or none.
func (v *validator) both(prefix, a, valueA, b, valueB string) {
	switch {
	case valueA != "" && valueB == "":
		v.problem(prefix+"."+a, "is set without %s: set both or none", b)
	case valueA == "" && valueB != "":
		v.problem(prefix+"."+b, "is set without %s: set both or none", a)
	}
}

// storageDrivers returns the names of distribution's drivers that the program has.
func storageDrivers() []string {
	return []string{"filesystem", "inmemory", "s3", "s3aws"}
}

func (v *validator) storage(s Storage) {
	key := "storage." + s.Driver
	if !slices.Contains(storageDrivers(), s.Driver) {
		v.problem(key, "%s is no storage driver; there are %s", quote(s.Driver), strings.Join(storageDrivers(), ", "))
		return
	}
	if root, ok := s.Parameters[rootDirectory]; ok && s.Driver == filesystemDriver {
		if text, isText := root.(string); !isText || text == "" {
			v.problem(key+"."+rootDirectory, "needs the path of a directory")
		}
	}
	if s.Driver == "inmemory" {
		v.warning(key, "forgets every image when the process ends")
	}
}

// familyForm is that of a family.
var familyForm = regexp.MustCompile(`^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*$`)

// longestName bounds patterns and families, in bytes, as registries bound repository names.
const longestName = 255

func (v *validator) rule(key string, r *Rule) {
	if wrong := checkPattern(r.Match); wrong != "" {
		v.problem(key+".match", "%s", wrong)
	} else if len(r.Match) > longestName {
		v.problem(key+".match", "is longer than the limit of %d bytes", longestName)
	}
	v.between(key+".max_layers", r.MaxLayers, 1, mostLayers)
	if r.Format == FormatOSTree && r.MaxLayers == 1 {
		v.problem(key+".max_layers", "1 is too few for format: ostree, whose commit has a layer of its own: write 2 or more")
	}
	if r.MaxLayers > safeLayers && r.MaxLayers <= mostLayers {
		v.warning(key+".max_layers", "%d is more than every client takes: bootc needs to be 1.9 or newer for more than %d",
			r.MaxLayers, safeLayers)
	}
	if r.MaxStale < 0 || r.MaxStale > 1 {
		v.problem(key+".max_stale", "%s is out of range: write 0%% to 100%%", r.MaxStale)
	}
	if r.LayerCost < 0 || r.LayerCost > mostLayerCost {
		v.problem(key+".layer_cost", "%s is out of range: write 0B to %s", r.LayerCost, mostLayerCost)
	}
	if r.Compression != "" && v.origins[key+".format"] != "" && Format(r.Compression) != r.Format {
		v.problem(key+".compression", "is the old name of format, which is there, too, and says something else: remove it")
	}
	if r.Format == Format(layer.Chunked) {
		v.warning(key+".format", "zstd:chunked is nothing that the composefs backend of bootc up to 1.16.9 reads; "+
			"its ostree backend and podman do")
	}
	v.between(key+".keep_versions", r.KeepVersions, 1, mostVersions)
	v.between(key+".keep_days", r.KeepDays, 0, mostDays)
	v.duration(key+".refresh", r.Refresh, true)
	v.duration(key+".first_pull_timeout", r.FirstPullTimeout, false)
	v.watch(key+".watch", r.Watch)
	v.platforms(key+".platforms", r.Platforms)
	v.verify(key+".verify", r.Verify)
	if r.Noise == NoiseKeep && r.Verify.Enabled() {
		v.problem(key+".noise", "keeps bytes of earlier images, which verify says nothing about: remove one of them")
	}
	v.ociDeltas(key+".oci_deltas", r.OCIDeltas, *r)
	v.rollout(key+".rollout", r.Rollout)
	if r.Family != "" && (len(r.Family) > longestName || !familyForm.MatchString(r.Family)) {
		v.problem(key+".family", "%s is no name: write lower-case letters, digits and . _ - / between them, at most %d",
			quote(r.Family), longestName)
	}
}

func (v *validator) platforms(key string, platforms []string) {
	if len(platforms) == 0 {
		v.problem(key, "is empty: name a platform, leave the key out for the default, or write rechunk: never")
	}
	for i, p := range platforms {
		item := key + "[" + strconv.Itoa(i) + "]"
		_, err := image.ParsePlatform(p)
		switch {
		case err != nil:
			v.problem(item, "%v", err)
		case slices.Contains(platforms[:i], p):
			v.problem(item, "%s is there twice: remove one", quote(p))
		}
	}
}

// verifiedFamilies refuses to have layers of images that nobody vouches for below those of images that are verified: what a
// layer of an earlier image hides is in no tree that is compared, and reaches hosts all the same.
func (v *validator) verifiedFamilies(c *Config) {
	unverified := map[string]int{} // the first rule of each family that verifies nothing
	verifies := false
	for i, r := range c.Repositories {
		verifies = verifies || r.Verify.Enabled()
		if _, there := unverified[r.Family]; !there && !r.Verify.Enabled() && r.Rechunk != RechunkNever {
			unverified[r.Family] = i
		}
	}
	for i, r := range c.Repositories {
		if !verifies || r.Family == "" || r.Rechunk == RechunkNever {
			continue
		}
		key := "repositories[" + strconv.Itoa(i) + "].family"
		if k, shared := unverified[r.Family]; shared && r.Verify.Enabled() {
			v.problem(key, "%s is that of repositories[%d], too, which verifies nothing, and whose layers would lie in images that are "+
				"verified here: give one of them another family, or verify both", quote(r.Family), k)
		}
		if !strings.Contains(r.Family, "/") {
			continue
		}
		// A repository whose rule names no family has the one that is called like it.
		if same := c.Rule(r.Family); same.Family == r.Family && r.Verify.Enabled() != same.Verify.Enabled() &&
			same.Rechunk != RechunkNever {
			v.problem(key, "%s is the family of the repository of that name, too, of which one verifies and the other does not: choose "+
				"another name, or verify both", quote(r.Family))
		}
	}
}

// unreachable warns of rules that an earlier one always comes before. Comparing all pairs is too slow for very long lists,
// so each is compared with a bounded number.
func (v *validator) unreachable(rules []Rule) {
	const most = 1000
	for i := range rules {
		for j := range min(i, most) {
			if rules[j].Match != "" && covers(rules[j].Match, rules[i].Match) {
				v.warning("repositories["+strconv.Itoa(i)+"].match",
					"%s never matches, since repositories[%d] (%s) comes first: move it up or remove it",
					quote(rules[i].Match), j, quote(rules[j].Match))
				break
			}
		}
	}
}
