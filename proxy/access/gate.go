package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/auth"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/limits"
	"github.com/strata-oci/strata/proxy/registry"
)

// Gate decides which clients may pull what. It is safe for concurrent use.
type Gate struct {
	rules        config.Access
	passwords    *Passwords // nil: none
	tokens       *tokens    // nil: none
	certificates bool
}

var _ registry.Access = (*Gate)(nil)

// NewGate makes a gate of a configuration, and reads the files that it names.
func NewGate(c *config.Config, log *slog.Logger) (*Gate, error) {
	g := &Gate{rules: c.Access, certificates: c.TLS.ClientAuth.Asks()}
	var err error
	if c.Access.HtpasswdFile != "" {
		if g.passwords, err = NewPasswords(c.Access.HtpasswdFile, log); err != nil {
			return nil, fmt.Errorf("access.htpasswd_file: %w", err)
		}
	}
	if c.Access.Token.Enabled() {
		if g.tokens, err = newTokens(c.Access.Token, log); err != nil {
			return nil, fmt.Errorf("access.token: %w", err)
		}
	}
	return g, nil
}

// Authorize implements registry.Access.
func (g *Gate) Authorize(w http.ResponseWriter, r *http.Request, want registry.Want) (registry.Grant, error) {
	login, err := g.identify(w, r, want)
	if err != nil {
		return registry.Grant{}, err
	}
	grant := registry.Grant{User: login.Name}
	if len(g.rules.Rules) > 0 {
		grant.Sees = func(repository string) bool { return g.rules.Allows(login.Name, login.Groups, repository) }
	}
	switch repository := want.Repository.String(); {
	case want.Repository.Host() != "" && grant.Sees != nil && !grant.Sees(repository):
		if login.Name == "" && g.challenge(w, r, want) {
			return grant, registry.Unauthorized("log in to pull from " + repository)
		}
		return grant, registry.Denied("access to " + repository + " is denied")
	case want == registry.Want{As: want.As} && login.Name == "":
		// Who could log in is told how, even though he is let in without: many clients look here and nowhere else.
		g.challenge(w, r, want)
	}
	return grant, nil
}

// identify finds out who a client is. Credentials that were sent must be right; a certificate speaks for who sent none.
func (g *Gate) identify(w http.ResponseWriter, r *http.Request, want registry.Want) (Login, error) {
	header := r.Header.Get("Authorization")
	if (g.passwords != nil || g.tokens != nil) && header != "" && !isNobody(header) {
		if want.As == "" || !isToken(header) {
			return g.credentials(w, r, header, want)
		}
		// The token of a client that takes this proxy for its registry is for that, unless it is one of ours.
		if g.tokens != nil {
			if login, err := g.token(r.Context(), header, want); err == nil {
				return login, nil
			}
		}
	}
	if login, ok := certificateLogin(r); ok && g.certificates {
		return login, nil
	}
	open := g.passwords == nil && g.tokens == nil && !g.certificates
	if open || g.rules.Anonymous {
		return Login{}, nil
	}
	if !g.challenge(w, r, want) {
		return Login{}, registry.Denied("this proxy wants a client certificate")
	}
	return Login{}, registry.Unauthorized("log in to use this proxy")
}

// credentials checks an Authorization header.
func (g *Gate) credentials(w http.ResponseWriter, r *http.Request, header string, want registry.Want) (Login, error) {
	var login Login
	var err error
	if g.passwords != nil {
		login, err = g.password(r)
	} else {
		login, err = g.token(r.Context(), header, want)
	}
	var busy *BusyError
	switch {
	case err == nil:
		return login, nil
	case errors.As(err, &busy):
		e := registry.TooManyRequests(busy.RetryAfter).WithCause(err)
		e.Message = "too many logins"
		return Login{}, e
	case errors.Is(err, ErrDenied):
		g.challenge(w, r, want)
		return Login{}, registry.Unauthorized("the credentials are not accepted")
	case r.Context().Err() != nil:
		return Login{}, err
	}
	return Login{}, registry.Unavailable("logins cannot be checked now", time.Minute).WithCause(err)
}

func (g *Gate) password(r *http.Request) (Login, error) {
	user, password, ok := r.BasicAuth()
	if !ok || user == "" {
		return Login{}, ErrDenied
	}
	return Login{Name: user}, g.passwords.Check(r.Context(), user, password, limits.Address(r.RemoteAddr))
}

// token checks a bearer token. One for the name that the client wrote is as good as one for the repository's full name.
func (g *Gate) token(ctx context.Context, header string, want registry.Want) (Login, error) {
	for _, scope := range scopes(want) {
		login, challenge, err := g.tokens.check(ctx, header, scope...)
		switch {
		case err != nil:
			return Login{}, err
		case challenge != nil:
			continue
		case login.Name == "":
			return Login{}, nil // the server let in somebody whom it does not know either
		}
		return login, nil
	}
	return Login{}, ErrDenied
}

// scopes returns what a token must hold, one after the other that will do; the first is what clients are told to ask for.
func scopes(want registry.Want) [][]auth.Access {
	pull := func(repository string) []auth.Access {
		return []auth.Access{{Resource: auth.Resource{Type: "repository", Name: repository}, Action: "pull"}}
	}
	switch {
	case want.Catalog:
		return [][]auth.Access{{{Resource: auth.Resource{Type: "registry", Name: "catalog"}, Action: "*"}}}
	case want.Repository.Host() == "":
		return [][]auth.Access{nil}
	case want.Asked == "" || want.Asked == want.Repository.String():
		return [][]auth.Access{pull(want.Repository.String())}
	}
	return [][]auth.Access{pull(want.Asked), pull(want.Repository.String())}
}

// challenge tells a client how to log in; false when it cannot by what it sends in a header.
func (g *Gate) challenge(w http.ResponseWriter, r *http.Request, want registry.Want) bool {
	switch {
	case g.passwords != nil:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", g.rules.Realm))
		return true
	case g.tokens != nil:
		header := r.Header.Get("Authorization")
		if isNobody(header) {
			header = ""
		}
		_, challenge, err := g.tokens.check(r.Context(), header, scopes(want)[0]...)
		if challenge == nil || err != nil { // the token is good, and it is the rules that refuse whom it names
			return false
		}
		w.Header().Del("WWW-Authenticate")
		challenge.SetHeaders(r, w)
		return true
	}
	return false
}

// isNobody reports whether a header holds an empty user name and password: what containers/image sends for who has none.
func isNobody(header string) bool {
	scheme, rest, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "basic") {
		return false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	return err == nil && string(plain) == ":"
}

// isToken reports whether a header holds a bearer token.
func isToken(header string) bool {
	scheme, _, ok := strings.Cut(header, " ")
	return ok && strings.EqualFold(scheme, "bearer")
}
