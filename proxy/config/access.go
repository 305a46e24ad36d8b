package config

import (
	"slices"
	"strings"
)

// Access says who may pull what. Clients log in with a password or a token here, or with a certificate (TLS.ClientAuth).
// While none of these is configured every client is anonymous, and let in.
type Access struct {
	// Anonymous lets in clients that do not log in, where others can.
	Anonymous bool `yaml:"anonymous"`
	// Realm is what clients show when they ask for a password.
	Realm string `yaml:"realm"`
	// HtpasswdFile holds user names and bcrypt hashes, a line each, as "htpasswd -B" writes them. It excludes Token.
	HtpasswdFile string `yaml:"htpasswd_file"`
	// Token is the server that gives out bearer tokens.
	Token Token `yaml:"token"`
	// Groups are names for several users; rules write them with an @ before.
	Groups map[string][]string `yaml:"groups"`
	// Rules say who may pull from which repositories, first match wins. Without any, everybody who was let in may pull from
	// all; with some, nobody may pull from a repository that none of them matches.
	Rules []AccessRule `yaml:"rules"`
}

// Token is a server of bearer tokens: JSON web tokens after distribution's token specification. Realm turns it on.
type Token struct {
	// Realm is the URL where clients get tokens.
	Realm string `yaml:"realm"`
	// Service is the name of this proxy at the server, the tokens' audience.
	Service string `yaml:"service"`
	// Issuer is the name of the server, the tokens' issuer.
	Issuer string `yaml:"issuer"`
	// RootCertFile is a PEM file of certificates and JWKSFile a JSON document of public keys that tokens may be signed with,
	// or lead to. At least one is needed.
	RootCertFile string `yaml:"root_cert_file"`
	JWKSFile     string `yaml:"jwks_file"`
}

// Enabled reports whether tokens are taken.
func (t Token) Enabled() bool { return t.Realm != "" }

// AccessRule says who may pull from the repositories it matches: whoever Allow names and Deny does not. A user is named as
// he logs in; "@team" is a group, "anonymous" whoever did not log in, "*" everybody who was let in.
type AccessRule struct {
	// Match is a pattern as in Rule.
	Match string `yaml:"match"`
	// Allow, when left out beside a Deny, is everybody.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// Words of rules with a meaning of their own.
const (
	Everybody = "*"
	Anonymous = "anonymous"
)

// LogsIn reports whether there is a way for clients to say who they are.
func (c *Config) LogsIn() bool {
	return c.Access.HtpasswdFile != "" || c.Access.Token.Enabled() || c.TLS.ClientAuth.Asks()
}

// Allows reports whether a user may pull from a repository, "host/path". An empty user is anonymous; groups are those that
// he is in beside the configured ones.
func (a Access) Allows(user string, groups []string, repository string) bool {
	if len(a.Rules) == 0 {
		return true
	}
	for _, rule := range a.Rules {
		if !matchName(rule.Match, repository) {
			continue
		}
		named := func(who string) bool { return a.named(who, user, groups) }
		if slices.ContainsFunc(rule.Deny, named) {
			return false
		}
		return rule.Allow == nil || slices.ContainsFunc(rule.Allow, named)
	}
	return false
}

// named reports whether a word of a rule stands for a user.
func (a Access) named(who, user string, groups []string) bool {
	group, isGroup := strings.CutPrefix(who, "@")
	switch {
	case who == Everybody:
		return true
	case who == Anonymous:
		return user == ""
	case user == "":
		return false
	case isGroup:
		return slices.Contains(groups, group) || slices.Contains(a.Groups[group], user)
	}
	return who == user
}
