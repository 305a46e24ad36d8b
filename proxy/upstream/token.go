package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	registryname "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	maxScope = 2048
	opToken  = "get token"
)

// grant is an Authorization header and when to stop using it; the zero time means never.
type grant struct {
	header  string
	expires time.Time
}

func (g grant) usable(now time.Time) bool {
	return g.header != "" && (g.expires.IsZero() || now.Before(g.expires))
}

// authorize answers a challenge. A grant without header means that there is nothing to answer it with.
func (s *session) authorize(ctx context.Context, ch challenge) (grant, error) {
	auth, err := s.host.creds.resolve(ctx, s.repo)
	if err != nil {
		return grant{}, &Error{Op: "get credentials", Kind: NotConfigured, Err: scrub(err)}
	}
	switch {
	case auth.RegistryToken != "":
		return grant{header: "Bearer " + auth.RegistryToken}, nil
	case ch.scheme == "basic":
		return grant{header: basicHeader(auth)}, nil
	default:
		return s.exchange(ctx, ch, auth)
	}
}

func basicHeader(auth authn.AuthConfig) string {
	switch {
	case auth.Username != "" && auth.Password != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(auth.Username+":"+auth.Password))
	case auth.Auth != "":
		return "Basic " + auth.Auth
	default:
		return ""
	}
}

// exchange gets a bearer token from the token service that a challenge names.
func (s *session) exchange(ctx context.Context, ch challenge, auth authn.AuthConfig) (grant, error) {
	realm, err := s.host.checkRealm(ch.params["realm"])
	if err != nil {
		return grant{}, &Error{Op: opToken, Kind: Protocol, Err: err}
	}
	// ggcr allows a realm on the registry's own host at any address. Ours was checked above and is checked again when its
	// address is dialled, so it stands in for the registry here.
	reg, err := registryname.NewRegistry(realm.Host, registryname.WeakValidation)
	if err != nil {
		return grant{}, &Error{Op: opToken, Kind: Protocol, Err: fmt.Errorf("%w: token service at an invalid host", ErrRefused)}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.host.timeout)
	defer cancel()
	service := &tokenService{session: s, realm: realm}
	token, err := transport.Exchange(ctx, reg, authn.FromConfig(auth), service, s.scopes(ch), &transport.Challenge{
		Scheme: "bearer", Parameters: map[string]string{"realm": realm.String(), "service": ch.params["service"]},
		Insecure: realm.Scheme == "http",
	})
	if err != nil {
		return grant{}, service.failure(err)
	}
	return tokenGrant(token, s.client.now()), nil
}

// scopes returns what to ask a token for: what the challenge says, then what pulling needs in any case. Some token services look
// at the first one only.
func (s *session) scopes(ch challenge) []string {
	pull := "repository:" + s.repo.Path() + ":" + transport.PullScope
	if asked := ch.params["scope"]; asked != "" && asked != pull && len(asked) <= maxScope {
		return []string{asked, pull}
	}
	return []string{pull}
}

// tokenGrant turns a token into a grant that ends a little before the token does.
func tokenGrant(token *transport.Token, now time.Time) grant {
	value := token.Token
	if token.AccessToken != "" {
		value = token.AccessToken
	}
	g := grant{header: "Bearer " + value}
	if token.ExpiresIn > 0 {
		life := time.Duration(min(token.ExpiresIn, 1<<30)) * time.Second
		g.expires = now.Add(life - min(life/10, 10*time.Second))
	}
	return g
}

// checkRealm parses the address of a token service. It must be https, or the configured host itself where that is http.
func (h *host) checkRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: the token service's address is no URL", ErrRefused)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: the token service's address holds a user name", ErrRefused)
	}
	if u.Scheme != "https" && !sameOrigin(u, h.base) {
		return nil, fmt.Errorf("%w: token service at %s://%s: it must be https", ErrRefused, u.Scheme, u.Host)
	}
	u.Fragment = ""
	return u, h.mayFollow(u)
}

// tokenService carries the requests of one token exchange. It refuses redirects to other hosts, which would carry credentials
// along, and remembers the Retry-After of the last answer.
type tokenService struct {
	session    *session
	realm      *url.URL
	retryAfter time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *tokenService) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", t.session.client.userAgent)
	resp, err := t.session.host.exchange(t.session.host.tripper(req.URL), req)
	if err != nil {
		return nil, err
	}
	if isRedirect(resp) {
		to, err := redirectTarget(req.URL, resp.Header.Get("Location"))
		if err == nil && !sameOrigin(to, t.realm) {
			err = fmt.Errorf("%w: token service redirects from %s to %s", ErrRefused, t.realm.Host, to.Host)
		}
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	t.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), t.session.client.now())
	return resp, nil
}

// failure turns an error of ggcr's exchange, whose text may quote URLs and token documents, into one of ours.
func (t *tokenService) failure(err error) error {
	var (
		answer *transport.Error
		urlErr *url.Error
	)
	switch {
	case errors.As(err, &answer):
		e := &Error{Op: opToken, Status: answer.StatusCode, RetryAfter: t.retryAfter}
		codes := make([]string, 0, len(answer.Errors))
		for _, d := range answer.Errors {
			if code := strings.ToUpper(string(d.Code)); validCode(code) && len(codes) < maxErrorCodes {
				codes = append(codes, code)
			}
		}
		if len(codes) > 0 {
			e.Code, e.Err = codes[0], errors.New(codes[0])
		}
		e.Kind = statusKind(answer.StatusCode, codes)
		return e
	case errors.As(err, &urlErr):
		return &Error{Op: opToken, Kind: classify(urlErr.Err), Err: scrub(urlErr.Err)}
	default:
		return &Error{Op: opToken, Kind: Protocol, Err: errors.New("the token service's answer holds no token")}
	}
}
