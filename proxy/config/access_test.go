package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAllows(t *testing.T) {
	t.Parallel()
	c, _, err := parse("c.yml", []byte(`
access:
  htpasswd_file: f
  anonymous: true
  groups: {hosts: [host1, host2]}
  rules:
    - {match: ghcr.io/open/**, allow: ["*"]}
    - {match: ghcr.io/users/**, allow: ["*"], deny: [anonymous, bob]}
    - {match: ghcr.io/fleet/**, allow: ["@hosts", alice]}
    - {match: ghcr.io/most/**, deny: ["@hosts"]}
    - {match: ghcr.io/closed/**, allow: []}
    - {match: quay.io, allow: [anonymous]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	everybody := []string{"", "alice", "bob", "host1", "cert"} // the last one is in @hosts by its certificate
	for repository, want := range map[string][]string{
		"ghcr.io/open/a":    everybody,
		"ghcr.io/users/a":   {"alice", "host1", "cert"},
		"ghcr.io/fleet/a/b": {"alice", "host1", "cert"},
		"ghcr.io/most/a":    {"", "alice", "bob"},
		"ghcr.io/closed/a":  nil,
		"quay.io/a":         {""},
		"ghcr.io/other":     nil,
	} {
		var got []string
		for _, user := range everybody {
			var groups []string
			if user == "cert" {
				groups = []string{"hosts"}
			}
			if c.Access.Allows(user, groups, repository) {
				got = append(got, user)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", repository, diff)
		}
	}
	if !Default().Access.Allows("", nil, "ghcr.io/any") {
		t.Error("without rules somebody is refused")
	}
}

func TestAccessProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"admin: {listen: ':5001'}":                                                                     "admin.listen: \":5001\" can be reached from other machines and nobody has to log in",
		"admin: {token: short}":                                                                        "admin.token: is shorter than 16",
		"admin: {insecure: true, token_file: f}":                                                       "admin.insecure: contradicts",
		"admin: {token: 0123456789abcdef0, token_file: f}":                                             "admin.token_file: is set together with token",
		"tls: {client_ca_file: f}":                                                                     "tls.client_ca_file: is set but clients are not asked",
		"tls: {client_auth: require}":                                                                  "tls.client_auth: require needs TLS",
		"tls: {client_auth: request, cert_file: a, key_file: b}":                                       "tls.client_auth: request needs client_ca_file",
		"tls: {client_auth: always}":                                                                   "is not known: write none, request or require",
		"access: {anonymous: true}":                                                                    "access.anonymous: is set but there is no way to log in",
		"access: {realm: 'a\"b'}":                                                                      "access.realm: needs 1 to 255 printable",
		"access: {token: {service: s}}":                                                                "access.token.service: is set without realm",
		"access: {token: {realm: nowhere}}":                                                            "access.token.realm: is no URL",
		"access: {token: {realm: 'https://u:p@h/t'}}":                                                  "access.token.realm: has a user name in it",
		"access: {token: {realm: 'https://h/t', service: s, issuer: i}}":                               "access.token: has no keys",
		"access: {rules: [{match: ghcr.io}]}":                                                          "access.rules[0]: names nobody",
		"access: {rules: [{match: a, allow: []}]}":                                                     "access.rules[0].match:",
		"access: {rules: [{match: ghcr.io, allow: [alice]}]}":                                          "access.rules[0].allow[0]: \"alice\" cannot log in",
		"access: {htpasswd_file: f, rules: [{match: ghcr.io, deny: ['@x']}]}":                          "access.rules[0].deny[0]: \"x\" is no group",
		"access: {htpasswd_file: f, rules: [{match: ghcr.io, allow: [anonymous]}]}":                    "anonymous clients are not let in",
		"access: {htpasswd_file: f, groups: {anonymous: [a]}}":                                         "has a meaning of its own",
		"access: {htpasswd_file: f, token: {realm: 'https://h', service: s, issuer: i, jwks_file: j}}": "keep one",
		"limits: {header_bytes: 1KiB}":                                                                 "limits.header_bytes: is out of range",
		"limits: {stall_timeout: 0s}":                                                                  "limits.stall_timeout: is 0",
		"limits: {http2_streams: 0}":                                                                   "limits.http2_streams: 0 is out of range",
		"limits: {connections: -1}":                                                                    "limits.connections: -1 is out of range",
	} {
		_, _, err := parse("c.yml", []byte(text), nil)
		if problems := new(Error); !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}
