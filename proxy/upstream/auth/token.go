package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	registryname "github.com/google/go-containerregistry/pkg/name"
	remote "github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	maxScope = 2048
	// Op is what the errors of a token exchange say was tried.
	Op = "get token"
)

// grant is an Authorization header and when to stop using it; the zero time means never.
type grant struct {
	header  string
	expires time.Time
	good    bool // the registry accepted it
}

func (g grant) usable(now time.Time) bool {
	return g.header != "" && (g.expires.IsZero() || now.Before(g.expires))
}

// authorize answers a challenge. A grant without header means that there is nothing to answer it with.
func (s *Session) authorize(ctx context.Context, ch header.Challenge) (grant, error) {
	auth, err := s.creds.Resolve(ctx, s.repo)
	if err != nil {
		return grant{}, &upstream.Error{Op: "get credentials", Kind: upstream.NotConfigured, Err: upstream.Scrub(err)}
	}
	switch {
	case auth.RegistryToken != "":
		return grant{header: "Bearer " + auth.RegistryToken}, nil
	case ch.Scheme == "basic":
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
func (s *Session) exchange(ctx context.Context, ch header.Challenge, auth authn.AuthConfig) (grant, error) {
	realm, err := s.checkRealm(ch.Params["realm"])
	if err != nil {
		return grant{}, &upstream.Error{Op: Op, Kind: upstream.Protocol, Err: err}
	}
	// ggcr allows a realm on the registry's own host at any address. Ours was checked above and is checked again when its
	// address is dialled, so it stands in for the registry here.
	reg, err := registryname.NewRegistry(realm.Host, registryname.WeakValidation)
	if err != nil {
		return grant{}, &upstream.Error{
			Op: Op, Kind: upstream.Protocol, Err: fmt.Errorf("%w: token service at an invalid host", upstream.ErrRefused),
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*s.host.Timeout())
	defer cancel()
	service := &tokenService{session: s, realm: realm}
	_, err = remote.Exchange(ctx, reg, authn.FromConfig(auth), service, s.scopes(ch), &remote.Challenge{
		Scheme: "bearer", Parameters: map[string]string{"realm": realm.String(), "service": ch.Params["service"]},
		Insecure: realm.Scheme == "http",
	})
	if err != nil || service.answer.token == "" {
		return grant{}, service.failure(err)
	}
	life := service.answer.life
	return grant{
		header:  "Bearer " + service.answer.token,
		expires: s.now().Add(life - min(life/10, 10*time.Second)),
	}, nil
}

// scopes returns what to ask a token for: what the challenge says, then what pulling needs in any case. Some token
// services look at the first one only.
func (s *Session) scopes(ch header.Challenge) []string {
	pull := "repository:" + s.path + ":" + remote.PullScope
	if asked := ch.Params["scope"]; asked != "" && asked != pull && len(asked) <= maxScope {
		return []string{asked, pull}
	}
	return []string{pull}
}

// checkRealm parses the address of a token service.
func (s *Session) checkRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: the token service's address is no URL", upstream.ErrRefused)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: the token service's address holds a user name", upstream.ErrRefused)
	}
	u.Fragment = ""
	return s.host.MayCarrySecrets(u)
}

// tokenService carries the requests of one token exchange. It refuses redirects to other hosts, which would carry
// credentials along, and keeps what it understood of the last answer.
type tokenService struct {
	session    *Session
	realm      *url.URL
	answer     tokenAnswer
	retryAfter time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *tokenService) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.session.host.Exchange(req)
	if err != nil {
		return nil, err
	}
	if transport.IsRedirect(resp) {
		to, err := transport.RedirectTarget(req.URL, resp.Header.Get("Location"))
		if err == nil && !transport.SameOrigin(to, t.realm) {
			err = fmt.Errorf("%w: token service redirects from %s to %s", upstream.ErrRefused, t.realm.Host, to.Host)
		}
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
	}
	t.retryAfter = header.RetryAfter(resp.Header.Get("Retry-After"), t.session.now())
	if resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	return t.understand(resp)
}

// understand reads an answer and replaces it by one that is as the specification has it: the exchange's own parser is
// strict.
func (t *tokenService) understand(resp *http.Response) (*http.Response, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	t.answer = tokenAnswer{}
	if len(body) <= maxAnswer {
		t.answer = parseAnswer(body)
	}
	plain, err := json.Marshal(map[string]string{"token": t.answer.token})
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
	return resp, nil
}

// failure turns an error of ggcr's exchange, whose text may quote URLs and token documents, into one of ours.
func (t *tokenService) failure(err error) error {
	var (
		answer *remote.Error
		urlErr *url.Error
		ours   *upstream.Error
	)
	switch {
	case errors.As(err, &answer):
		codes := make([]string, 0, len(answer.Errors))
		for _, d := range answer.Errors {
			codes = append(codes, string(d.Code))
		}
		return t.refusal(answer.StatusCode, upstream.ValidCodes(codes))
	case errors.As(err, &ours): // not sent
		return ours
	case errors.As(err, &urlErr):
		return &upstream.Error{Op: Op, Kind: upstream.Classify(urlErr.Err), Err: upstream.Scrub(urlErr.Err)}
	case len(t.answer.codes) > 0: // an error with the status of a success
		return t.refusal(http.StatusOK, t.answer.codes)
	default:
		return &upstream.Error{Op: Op, Kind: upstream.Protocol, Err: errors.New("the token service's answer holds no token")}
	}
}

// refusal is a token service's answer with a status and error codes.
func (t *tokenService) refusal(status int, codes []string) error {
	e := &upstream.Error{Op: Op, Kind: upstream.StatusKind(status, codes), Status: status, RetryAfter: t.retryAfter}
	if len(codes) > 0 {
		e.Code, e.Err = codes[0], errors.New(codes[0])
	}
	return e
}
