package access

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// ask returns who a gate lets in, or the status and code of its refusal, and the challenge.
func ask(t *testing.T, g *Gate, want registry.Want, change func(*http.Request)) (answer, challenge string) {
	t.Helper()
	w := httptest.NewRecorder()
	grant, err := g.Authorize(w, request(change), want)
	challenge = w.Header().Get("WWW-Authenticate")
	var refused *registry.Error
	switch {
	case err == nil && grant.User == "":
		return "anonymous", challenge
	case err == nil:
		return grant.User, challenge
	case errors.As(err, &refused):
		return refused.Code, challenge
	}
	t.Fatal(err)
	return "", ""
}

const basicChallenge = `Basic realm="strata"`

func TestGate(t *testing.T) {
	t.Parallel()
	passwords := withPasswords(t)
	rules := func(c *config.Config) {
		c.Access.Rules = []config.AccessRule{
			{Match: "ghcr.io/open/**", Allow: []string{"*"}},
			{Match: "ghcr.io/alice/**", Allow: []string{"alice", "@staff"}},
		}
	}
	certs := func(c *config.Config) { c.TLS.ClientAuth = config.ClientAuthRequest }
	open, closed, base := wantRepository("ghcr.io", "open/a"), wantRepository("ghcr.io", "alice/a"), registry.Want{}
	nobody := func(r *http.Request) { r.Header.Set("Authorization", "Basic Og==") } // what podman sends without a login
	for _, tc := range []struct {
		name      string
		set       []func(*config.Config)
		anonymous bool
		want      registry.Want
		sends     func(*http.Request)
		answer    string
		challenge string
	}{
		{name: "no way to log in", want: open, answer: "anonymous"},
		{name: "credentials that nobody asked for", want: open, sends: basic("x", "y"), answer: "anonymous"},
		{name: "a certificate that nobody asked for", want: open, sends: certified(subject("host1")), answer: "anonymous"},

		{name: "no password", set: []func(*config.Config){passwords}, want: base, answer: "UNAUTHORIZED",
			challenge: basicChallenge},
		{name: "empty password", set: []func(*config.Config){passwords}, want: base, sends: nobody, answer: "UNAUTHORIZED",
			challenge: basicChallenge},
		{name: "password", set: []func(*config.Config){passwords}, want: base, sends: basic("alice", "wonder"),
			answer: "alice"},
		{name: "password with a colon", set: []func(*config.Config){passwords}, want: base, sends: basic("bob", "build:er"),
			answer: "bob"},
		{name: "wrong password", set: []func(*config.Config){passwords}, want: base, sends: basic("alice", "x"),
			answer: "UNAUTHORIZED", challenge: basicChallenge},
		{name: "no such user", set: []func(*config.Config){passwords}, want: base, sends: basic("eve", "wonder"),
			answer: "UNAUTHORIZED", challenge: basicChallenge},
		{name: "another scheme", set: []func(*config.Config){passwords}, want: base, sends: bearer("x"),
			answer: "UNAUTHORIZED", challenge: basicChallenge},
		{
			name: "user without rights", set: []func(*config.Config){passwords, rules}, want: closed,
			sends:  basic("bob", "build:er"),
			answer: "DENIED",
		},
		{name: "user with rights", set: []func(*config.Config){passwords, rules}, want: closed,
			sends: basic("alice", "wonder"), answer: "alice"},
		{
			name: "no rule", set: []func(*config.Config){passwords, rules}, want: wantRepository("ghcr.io", "else"),
			sends:  basic("alice", "wonder"),
			answer: "DENIED",
		},

		{
			name: "anonymous at the API", set: []func(*config.Config){passwords, rules}, anonymous: true, want: base,
			answer: "anonymous", challenge: basicChallenge,
		},
		{name: "anonymous at an open repository", set: []func(*config.Config){passwords, rules}, anonymous: true, want: open,
			sends: nobody, answer: "anonymous"},
		{
			name: "anonymous at a closed repository", set: []func(*config.Config){passwords, rules}, anonymous: true,
			want:   closed,
			answer: "UNAUTHORIZED", challenge: basicChallenge,
		},
		{
			name: "wrong password where nobody needs one", set: []func(*config.Config){passwords}, anonymous: true,
			want: open, sends: basic("alice", "x"),
			answer: "UNAUTHORIZED", challenge: basicChallenge,
		},

		{name: "certificate", set: []func(*config.Config){certs}, want: base, sends: certified(subject("host1")),
			answer: "host1"},
		{name: "no certificate", set: []func(*config.Config){certs}, want: base, answer: "DENIED"},
		{name: "certificate without a name", set: []func(*config.Config){certs}, want: base, sends: certified(subject("")),
			answer: "DENIED"},
		{name: "certificate or password", set: []func(*config.Config){certs, passwords}, want: base,
			sends: certified(subject("host1")), answer: "host1"},
		{name: "password or certificate", set: []func(*config.Config){certs, passwords}, want: base,
			sends: basic("alice", "wonder"), answer: "alice"},
		{
			name: "group of a certificate", set: []func(*config.Config){certs, rules}, want: closed,
			sends:  certified(subject("host1", "staff")),
			answer: "host1",
		},
		{name: "rules without a login", set: []func(*config.Config){rules}, want: closed, answer: "DENIED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, func(c *config.Config) {
				for _, set := range tc.set {
					set(c)
				}
				c.Access.Anonymous = tc.anonymous
			})
			answer, challenge := ask(t, g, tc.want, tc.sends)
			if answer != tc.answer || challenge != tc.challenge {
				t.Errorf("got %s, %q; want %s, %q", answer, challenge, tc.answer, tc.challenge)
			}
		})
	}
}

// What is denied looks the same whether it exists or not, and the list of repositories does not show it.
func TestGateSees(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *config.Config) {
		withPasswords(t)(c)
		c.Access.Rules = []config.AccessRule{{Match: "ghcr.io/a/**", Allow: []string{"alice"}}}
	})
	grant, err := g.Authorize(httptest.NewRecorder(), request(basic("alice", "wonder")), registry.Want{Catalog: true})
	if err != nil || !grant.Sees("ghcr.io/a/b") || grant.Sees("ghcr.io/b") {
		t.Errorf("%+v, %v", grant, err)
	}
}

func TestGateTokens(t *testing.T) {
	t.Parallel()
	s := newTokenServer(t)
	g := newGate(t, s.config)
	repo := wantRepository("ghcr.io", "a/b")
	short := registry.Want{Repository: repo.Repository, Asked: "a/b"}
	mirrored := registry.Want{Repository: repo.Repository}
	ask := func(want registry.Want, sends func(*http.Request)) string {
		t.Helper()
		answer, challenge := ask(t, g, want, sends)
		return strings.TrimSpace(answer + " " +
			strings.ReplaceAll(challenge, `Bearer realm="https://auth.example/token",service="strata.example"`, "Bearer"))
	}
	for _, tc := range []struct {
		name string
		want registry.Want
		send string
		got  string
	}{
		{"nothing", repo, "", `UNAUTHORIZED Bearer,scope="repository:ghcr.io/a/b:pull"`},
		{"nothing, short name", short, "", `UNAUTHORIZED Bearer,scope="repository:a/b:pull"`},
		{"nothing, at the API", registry.Want{}, "", "UNAUTHORIZED Bearer"},
		{"nothing, for the catalog", registry.Want{Catalog: true}, "", `UNAUTHORIZED Bearer,scope="registry:catalog:*"`},
		{"token at the API", registry.Want{}, s.token("alice", nil), "alice"},
		{"token", repo, s.token("alice", nil, "ghcr.io/a/b"), "alice"},
		{"token for the short name", short, s.token("alice", nil, "a/b"), "alice"},
		{"token for the full name", short, s.token("alice", nil, "ghcr.io/a/b"), "alice"},
		{
			"token for the short name of another registry's repository", mirrored, s.token("alice", nil, "a/b"),
			`UNAUTHORIZED Bearer,scope="repository:ghcr.io/a/b:pull",error="insufficient_scope"`,
		},
		{"token for another repository", repo, s.token("alice", nil, "ghcr.io/a/c"),
			`UNAUTHORIZED Bearer,scope="repository:ghcr.io/a/b:pull",error="insufficient_scope"`},
		{"token of another issuer", registry.Want{}, s.token("a", func(c map[string]any) { c["iss"] = "x" }),
			`UNAUTHORIZED Bearer,error="invalid_token"`},
		{"token for another service", registry.Want{}, s.token("a", func(c map[string]any) { c["aud"] = "x" }),
			`UNAUTHORIZED Bearer,error="invalid_token"`},
		{"expired token", registry.Want{}, s.token("a", func(c map[string]any) { c["exp"] = 1 }),
			`UNAUTHORIZED Bearer,error="invalid_token"`},
		{"token without an end", registry.Want{}, s.token("a", func(c map[string]any) { delete(c, "exp") }),
			`UNAUTHORIZED Bearer,error="invalid_token"`},
		{"token of another key", registry.Want{}, newTokenServer(t).token("a", nil), "UNAUTHORIZED Bearer"},
		{"no token", registry.Want{}, "x.y", `UNAUTHORIZED Bearer,error="invalid_token"`},
		{"null in the grants", repo, s.token("a", func(c map[string]any) { c["access"] = []any{nil} }), "UNAVAILABLE"},
	} {
		var sends func(*http.Request)
		if tc.send != "" {
			sends = bearer(tc.send)
		}
		if got := ask(tc.want, sends); got != tc.got {
			t.Errorf("%s: got %s\nwant %s", tc.name, got, tc.got)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":            "no JSON web key set",
		`{"keys":[]}`: "it has no keys",
		`{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}`:                  "key 1 is a secret one",
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`: "key 1 has no kid",
	} {
		_, err := newTokens(config.Token{Realm: "https://h", Service: "s", Issuer: "i", JWKSFile: put(t, "jwks", content)},
			nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	_, err := newTokens(config.Token{Realm: "https://h", Service: "s", Issuer: "i",
		RootCertFile: put(t, "pem", "-----BEGIN X-----\n")}, nil)
	if err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Error(err)
	}
}

func TestCertificateName(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*x509.Certificate{
		"cn":                 {Subject: subject("cn").Subject, DNSNames: []string{"dns"}},
		"spiffe://fleet/one": {URIs: uri(t, "spiffe://fleet/one"), DNSNames: []string{"dns"}},
		"dns":                {DNSNames: []string{"dns"}, EmailAddresses: []string{"mail"}},
		"mail":               {EmailAddresses: []string{"mail"}},
		"":                   {},
	} {
		if got := certificateName(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// A certificate that was not verified is nobody's.
	r := request(certified(subject("x")))
	r.TLS.VerifiedChains = nil
	if _, ok := certificateLogin(r); ok {
		t.Error("an unverified certificate counts")
	}
}

// Asked is the client's own name for a repository; only the canonical one counts for the rules.
func TestRulesUseCanonicalNames(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *config.Config) {
		c.Access.Rules = []config.AccessRule{{Match: "docker.io/library/**", Allow: []string{"*"}}}
	})
	repo, err := name.Parser{}.Repository("docker.io/alpine", "")
	if err != nil {
		t.Fatal(err)
	}
	if answer, _ := ask(t, g, registry.Want{Repository: repo, Asked: "docker.io/alpine"}, nil); answer != "anonymous" {
		t.Error(answer)
	}
}
