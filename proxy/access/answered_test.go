package access

import (
	"net/http"
	"testing"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/registry"
)

// The token of a client that takes this proxy for its registry is no login and no harm; passwords are what they always are.
func TestForeignTokens(t *testing.T) {
	t.Parallel()
	rules := func(c *config.Config) {
		c.Access.Rules = []config.AccessRule{
			{Match: "ghcr.io/open/**", Allow: []string{"*"}},
			{Match: "ghcr.io/alice/**", Allow: []string{"alice"}},
		}
	}
	anonymous := func(c *config.Config) { c.Access.Anonymous = true }
	passwords, server := withPasswords(t), newTokenServer(t)
	open, closed := wantRepository("ghcr.io", "open/a"), wantRepository("ghcr.io", "alice/a")
	as := func(w registry.Want) registry.Want { w.As, w.Asked = "ghcr.io", ""; return w }
	foreign := bearer("djE6dXNlcjp0b2tlbg==")
	ours := bearer(server.token("alice", nil, "ghcr.io/alice/a"))
	for _, tc := range []struct {
		name   string
		set    []func(*config.Config)
		want   registry.Want
		sends  func(*http.Request)
		answer string
	}{
		{"nobody logs in", nil, as(closed), foreign, "anonymous"},
		{"rules without logins", []func(*config.Config){rules}, as(open), foreign, "anonymous"},
		{"rules without logins, closed", []func(*config.Config){rules}, as(closed), foreign, "DENIED"},
		{"passwords", []func(*config.Config){rules, passwords}, as(open), foreign, "UNAUTHORIZED"},
		{"passwords, anonymous", []func(*config.Config){rules, passwords, anonymous}, as(open), foreign, "anonymous"},
		{"passwords, anonymous, closed", []func(*config.Config){rules, passwords, anonymous}, as(closed), foreign,
			"UNAUTHORIZED"},
		{"passwords, anonymous, the API", []func(*config.Config){passwords, anonymous}, registry.Want{As: "ghcr.io"},
			foreign, "anonymous"},
		{"a password", []func(*config.Config){rules, passwords}, as(closed), basic("alice", "wonder"), "alice"},
		{"a wrong password", []func(*config.Config){passwords, anonymous}, as(open), basic("alice", "x"), "UNAUTHORIZED"},
		{"tokens", []func(*config.Config){rules, server.config}, as(open), foreign, "UNAUTHORIZED"},
		{"tokens, anonymous", []func(*config.Config){rules, server.config, anonymous}, as(open), foreign, "anonymous"},
		{"tokens, anonymous, closed", []func(*config.Config){rules, server.config, anonymous}, as(closed), foreign,
			"UNAUTHORIZED"},
		{"our token", []func(*config.Config){rules, server.config}, as(closed), ours, "alice"},
		// Who knows whom he asks has to be right.
		{"by the proxy's name", []func(*config.Config){passwords, anonymous}, open, foreign, "UNAUTHORIZED"},
		{"by the proxy's name, tokens", []func(*config.Config){server.config, anonymous}, open, foreign, "UNAUTHORIZED"},
	} {
		g := newGate(t, func(c *config.Config) {
			for _, set := range tc.set {
				set(c)
			}
		})
		answer, challenge := ask(t, g, tc.want, tc.sends)
		if answer != tc.answer {
			t.Errorf("%s: %s, want %s", tc.name, answer, tc.answer)
		}
		if answer == "anonymous" && tc.want.Repository.Host() != "" && challenge != "" {
			t.Errorf("%s: who is let in is asked to log in: %s", tc.name, challenge)
		}
	}
}
