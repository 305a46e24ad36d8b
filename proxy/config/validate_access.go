package config

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds on limits, far above what makes sense.
const (
	mostClients = 1_000_000
	mostStreams = 10_000
	leastHeader = 4 << 10
	mostHeader  = 1 << 20
	mostBody    = 1 << 30
)

func (v *validator) tls(key string, t TLS) {
	v.both(key, "cert_file", t.CertFile, "key_file", t.KeyFile)
	for i, c := range t.Certificates {
		at := key + ".certificates[" + strconv.Itoa(i) + "]"
		v.both(at, "cert_file", c.CertFile, "key_file", c.KeyFile)
		if c == (Certificate{}) {
			v.problem(at, "names no files: write cert_file and key_file")
		}
	}
	switch {
	case len(t.Certificates) > mostCertificates:
		v.problem(key+".certificates", "has %d entries, more than the limit of %d", len(t.Certificates), mostCertificates)
	case len(t.Certificates) > 0 && !t.Enabled():
		v.problem(key+".certificates", "come beside cert_file and key_file: set these, for clients that ask for no name")
	case t.ClientAuth.Asks() && !t.Enabled():
		v.problem(key+".client_auth", "%s needs TLS: set cert_file and key_file", t.ClientAuth)
	case t.ClientAuth.Asks() && t.ClientCAFile == "":
		v.problem(key+".client_auth", "%s needs client_ca_file: who signs clients' certificates", t.ClientAuth)
	case !t.ClientAuth.Asks() && t.ClientCAFile != "":
		v.problem(key+".client_ca_file",
			"is set but clients are not asked for certificates: add client_auth: request or require")
	}
}

// admin checks that not everybody on the network is an operator.
func (v *validator) admin(a Admin, loopback bool) {
	if !a.Token.IsZero() && a.TokenFile != "" {
		v.problem("admin.token_file", "is set together with token: keep one")
	}
	if !a.Token.IsZero() && len(a.Token.Reveal()) < shortestToken {
		v.problem("admin.token", "is shorter than %d characters, so it can be guessed: `openssl rand -hex 32` makes one",
			shortestToken)
	}
	for i, host := range a.Hosts {
		if host == "" || host != strings.ToLower(host) || strings.ContainsAny(host, "*/:@[] ") {
			v.problem("admin.hosts["+strconv.Itoa(i)+"]",
				"%s is no host name: write one in lower case such as strata.example, without a port",
				quote(host))
		}
	}
	switch {
	case a.LogsIn() && a.Insecure:
		v.problem("admin.insecure", "contradicts the login that is configured: remove one of them")
	case loopback:
	case a.Insecure:
		v.warning("admin.insecure", "whoever reaches %s is an operator: let only operators through to it", quote(a.Listen))
	case !a.LogsIn():
		v.problem("admin.listen", "%s can be reached from other machines and nobody has to log in: set admin.token_file, "+
			"admin.htpasswd_file or admin.tls.client_ca_file, or admin.insecure: true if the network lets only operators through",
			quote(a.Listen))
	case !a.TLS.Enabled() && a.HtpasswdFile != "": // people's own passwords, where a token is the listener's
		v.warning("admin.listen",
			"operators' passwords come in over plain HTTP: set admin.tls, or put a proxy with TLS in front")
	}
}

// shortestToken is the least length of the admin token, in bytes.
const shortestToken = 16

func (v *validator) access(c *Config) {
	a := c.Access
	unquotable := func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
	if a.Realm == "" || len(a.Realm) > longestName || strings.ContainsFunc(a.Realm, unquotable) {
		v.problem("access.realm", "needs 1 to %d printable ASCII characters, none of them a quote or backslash", longestName)
	}
	v.token(a.Token)
	switch {
	case a.HtpasswdFile != "" && a.Token.Enabled():
		v.problem("access.htpasswd_file",
			"is set together with token, and clients can't tell which is meant for them: keep one")
	case a.Anonymous && !c.LogsIn():
		v.problem("access.anonymous",
			"is set but there is no way to log in, so everybody is anonymous: remove it, or set htpasswd_file, "+
				"token or tls.client_ca_file")
	}
	for _, group := range slices.Sorted(maps.Keys(a.Groups)) {
		key := "access.groups." + group
		if wrong := checkUser(group); wrong != "" {
			v.problem(key, "%s", wrong)
		}
		for i, user := range a.Groups[group] {
			if wrong := checkUser(user); wrong != "" {
				v.problem(key+"["+strconv.Itoa(i)+"]", "%s", wrong)
			}
		}
	}
	if len(a.Rules) > mostRules {
		v.problem("access.rules", "has %d rules, more than the limit of %d", len(a.Rules), mostRules)
		return
	}
	for i, rule := range a.Rules {
		v.accessRule("access.rules["+strconv.Itoa(i)+"]", c, rule)
	}
	if families := c.families(); len(a.Rules) > 0 && len(families) > 0 {
		v.warning("access.rules",
			"repositories of the family %s share layers: who may pull from one of them may get what the others hold",
			strings.Join(families, ", "))
	}
}

// families returns the families that rules name, sorted.
func (c *Config) families() []string {
	var out []string
	for _, r := range c.Repositories {
		if r.Family != "" {
			out = append(out, r.Family)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (v *validator) token(t Token) {
	if !t.Enabled() {
		for _, other := range []struct{ key, value string }{
			{"service", t.Service}, {"issuer", t.Issuer}, {"root_cert_file", t.RootCertFile}, {"jwks_file", t.JWKSFile},
		} {
			if other.value != "" {
				v.problem("access.token."+other.key, "is set without realm: add the URL where clients get tokens")
			}
		}
		return
	}
	u, err := url.Parse(t.Realm)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		v.problem("access.token.realm", "is no URL: write one such as https://auth.example/token")
	case u.User != nil:
		v.problem("access.token.realm", "has a user name in it, which every client would see: remove it")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		v.warning("access.token.realm", "clients send their passwords there over plain HTTP: use https")
	}
	if t.Service == "" {
		v.problem("access.token.service", "is missing: write the name that tokens for this proxy have as their audience")
	}
	if t.Issuer == "" {
		v.problem("access.token.issuer", "is missing: write the name that the server puts into its tokens")
	}
	if t.RootCertFile == "" && t.JWKSFile == "" {
		v.problem("access.token", "has no keys to check tokens with: set root_cert_file or jwks_file")
	}
}

func (v *validator) accessRule(key string, c *Config, rule AccessRule) {
	if wrong := checkPattern(rule.Match); wrong != "" {
		v.problem(key+".match", "%s", wrong)
	} else if len(rule.Match) > longestName {
		v.problem(key+".match", "is longer than the limit of %d bytes", longestName)
	}
	if rule.Allow == nil && rule.Deny == nil {
		v.problem(key, "names nobody: add allow or deny; allow: [] is nobody at all")
	}
	for i, who := range rule.Allow {
		v.principal(key+".allow["+strconv.Itoa(i)+"]", c, who)
	}
	for i, who := range rule.Deny {
		v.principal(key+".deny["+strconv.Itoa(i)+"]", c, who)
	}
}

// principal checks a word of a rule.
func (v *validator) principal(key string, c *Config, who string) {
	group, isGroup := strings.CutPrefix(who, "@")
	switch {
	case who == Everybody:
	case who == Anonymous:
		if c.LogsIn() && !c.Access.Anonymous {
			v.problem(key, "anonymous clients are not let in: set access.anonymous: true, or remove the word")
		}
	case !c.LogsIn():
		v.problem(key, "%s cannot log in: set access.htpasswd_file, access.token or tls.client_ca_file", quote(who))
	case isGroup:
		if _, known := c.Access.Groups[group]; !known && !c.TLS.ClientAuth.Asks() {
			v.problem(key, "%s is no group: add it to access.groups", quote(group))
		}
	default:
		if wrong := checkUser(who); wrong != "" {
			v.problem(key, "%s", wrong)
		}
	}
}

// checkUser returns what is wrong with the name of a user or a group, or "".
func checkUser(name string) string {
	switch {
	case name == "" || len(name) > longestName:
		return "needs a name of 1 to 255 bytes"
	case name == Anonymous || name == Everybody || strings.HasPrefix(name, "@"):
		return quote(name) + " has a meaning of its own in rules: choose another name"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }):
		return quote(name) + " has a character that no user name has"
	}
	return ""
}

func (v *validator) limits(l Limits) {
	v.between("limits.connections", l.Connections, 0, mostClients)
	v.between("limits.connections_per_address", l.ConnectionsPerAddress, 0, mostClients)
	v.between("limits.requests", l.Requests, 0, mostClients)
	v.between("limits.requests_per_address", l.RequestsPerAddress, 0, mostClients)
	v.between("limits.http2_streams", l.HTTP2Streams, 1, mostStreams)
	if l.HeaderBytes < leastHeader || l.HeaderBytes > mostHeader {
		v.problem("limits.header_bytes", "is out of range: write 4KiB to 1MiB")
	}
	if l.BodyBytes < 0 || l.BodyBytes > mostBody {
		v.problem("limits.body_bytes", "is out of range: write 0 to 1GiB")
	}
	v.duration("limits.header_timeout", l.HeaderTimeout, false)
	v.duration("limits.idle_timeout", l.IdleTimeout, false)
	v.duration("limits.stall_timeout", l.StallTimeout, false)
	v.duration("limits.request_timeout", l.RequestTimeout, true)
	if s := time.Duration(l.StallTimeout); s > 0 && s < 10*time.Second {
		v.warning("limits.stall_timeout", "%s cuts off clients whose network pauses for a moment", l.StallTimeout)
	}
}
