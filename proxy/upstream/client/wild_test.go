package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
)

// A HEAD that fails, for whatever reason, proves nothing: watchtower#669, crossplane#3223.
func TestHeadThatFailsProvesNothing(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	fail := map[string]http.HandlerFunc{"connection closed": func(w http.ResponseWriter,
		_ *http.Request) {
		panic(http.ErrAbortHandler)
	}}
	for _, code := range []int{204, 400, 401, 403, 404, 405, 406, 410, 418, 500, 501, 502, 503} {
		fail[fmt.Sprint(code)] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, h := range fail {
		heads := 0
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodHead:
				heads++
				h(w, r)
			case strings.Contains(r.URL.Path, "/blobs/"):
				(&flaky{blob: blob}).ServeHTTP(w, r)
			default:
				fmt.Fprint(w, someIndex)
			}
		})
		srv.Config.ErrorLog = nil
		c, _ := client(t, srv.URL, func(s *setup) { s.config.Attempts = 1 })
		for range 3 {
			if d, err := c.Head(t.Context(), testRepo, "latest"); err != nil || d.Digest != someDigest ||
				d.Size != int64(len(someIndex)) {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
		}
		if name == "404" && heads != 1 {
			t.Errorf("%s: %d times HEAD: once it is known to be of no use, GET is enough", name, heads)
		}
		if n, err := c.StatBlob(t.Context(), testRepo, digest.FromBytes(blob)); err != nil || n != 1000 {
			t.Errorf("%s: blob of %d bytes, %v", name, n, err)
		}
	}
}

// A refusal because of too many requests is heeded, not asked past; nobody there is nobody there.
func TestHeadThatProvesSomething(t *testing.T) {
	t.Parallel()
	asked := ""
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked += r.Method + " "
		w.WriteHeader(http.StatusTooManyRequests)
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Attempts = 1 })
	_, err := c.Head(t.Context(), testRepo, "latest")
	if wantKind(t, err, upstream.RateLimited); asked != "HEAD " {
		t.Errorf("asked %s", asked)
	}
	_, err = c.Head(t.Context(), testRepo, "missing")
	wantKind(t, err, upstream.RateLimited)
	srv.Close()
	var seen counter
	c, _ = client(t, srv.URL, func(s *setup) { s.config.Attempts, s.options.Observer = 1, &seen })
	_, err = c.Head(t.Context(), testRepo, "latest")
	if wantKind(t, err, upstream.Unavailable); len(seen.lines) != 2 {
		t.Errorf("tried %q", seen.lines)
	}
}

// Some registries know a manifest by its tag only.
func TestManifestKnownByTagOnly(t *testing.T) {
	t.Parallel()
	text := someIndex
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "sha256:") {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no")
			return
		}
		fmt.Fprint(w, text)
	})
	c, _ := client(t, srv.URL)
	d, err := c.Head(t.Context(), testRepo, "latest")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), testRepo, name.Reference(d.Digest))
	if err != nil || string(m.Bytes) != someIndex || m.Digest != someDigest {
		t.Errorf("%s %q, %v", m.Digest, m.Bytes, err)
	}
	text = `{"other":"manifest"}` // the tag moved on
	_, err = c.Manifest(t.Context(), testRepo, name.Reference(d.Digest))
	wantKind(t, err, upstream.NotFound)
}

// A token that was good and is refused, with whatever status, is dropped, and the request tried once without:
// oras-go#1227 (public ECR), clouddriver#2215. A token that was refused from the start is not doubted again and again.
func TestExpiredTokenIsDropped(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403} {
		for _, challenge := range []bool{true, false} {
			r := newTokenRegistry(t)
			asked := 0
			r.Server.Config.Handler = expiring(r, status, challenge, &asked)
			c, _ := client(t, r.URL)
			for _, token := range []string{"token-1", "token-2", "token-3"} {
				r.valid.Store(token)
				if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
					t.Errorf("%d, %s: %v", status, token, err)
				}
			}
			asked = 0
			r.valid.Store("another")
			r.grant = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":"useless"}`) }
			for _, tag := range []name.Reference{"a", "b", "c"} { // what was denied is remembered
				if _, err := c.Manifest(t.Context(), testRepo, tag); err == nil {
					t.Errorf("%d: let in with a useless token", status)
				}
			}
			if asked > 5 {
				t.Errorf("%d: %d requests with tokens that were never good", status, asked)
			}
		}
	}
}

// expiring is a registry that refuses a token other than the valid one with a status, with a challenge or without, and no
// token at all with 401 and a challenge.
func expiring(r *tokenRegistry, status int, challenge bool, asked *int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			r.exchanges.Add(1)
			r.grant(w, req)
			return
		}
		*asked++
		switch auth := req.Header.Get("Authorization"); {
		case auth == "Bearer "+r.valid.Load().(string):
			fmt.Fprint(w, someIndex)
		case auth == "":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(r.challenge, r.URL))
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		default:
			if challenge {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(r.challenge, r.URL))
			}
			refuse(w, status, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		}
	}
}

// How long a token is used, by what its service says of it.
func TestTokenLifetimes(t *testing.T) {
	t.Parallel()
	for answer, life := range map[string]time.Duration{
		`{"token":"token-1"}`:                                                     time.Minute, // GHCR, Quay
		`{"token":"token-1","expires_in":0}`:                                      time.Minute,
		`{"token":"token-1","expires_in":-5}`:                                     time.Minute,
		`{"token":"token-1","expires_in":null}`:                                   time.Minute,
		`{"token":"token-1","expires_in":"soon"}`:                                 time.Minute,
		`{"token":"token-1","expires_in":300,"issued_at":"2001-01-01T00:00:00Z"}`: 5 * time.Minute, // a clock that is wrong
		`{"token":"token-1","expires_in":"300"}`:                                  5 * time.Minute,
		`{"token":"token-1","expires_in":300.5}`:                                  5 * time.Minute,
		`{"token":"token-1","expires_in":3e2}`:                                    5 * time.Minute,
		`{"access_token":"token-1","expires_in":1800}`:                            30 * time.Minute, // Azure
		`{"access_token":"token-1","token":"other"}`:                              time.Minute,
		`{"access_token":"","token":"token-1"}`:                                   time.Minute, // Artifactory
		`{"token":"token-1","expires_in":99999999999999999999}`:                   24 * time.Hour,
		`{"token":"token-1","expires_in":300,"errors":null,"x":[]}`:               5 * time.Minute,
	} {
		r := newTokenRegistry(t)
		r.grant = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }
		c, clock := client(t, r.URL)
		for _, wait := range []time.Duration{0, life - life/10 - 11*time.Second, 22 * time.Second} {
			_ = clock.sleep(t.Context(), max(wait, 0))
			if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
				t.Errorf("%s: %v", answer, err)
			}
		}
		_ = clock.sleep(t.Context(), life)
		before := r.exchanges.Load()
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil || r.exchanges.Load() != before+1 {
			t.Errorf("%s: %d exchanges before its end and %d after, %v", answer, before, r.exchanges.Load(), err)
		}
		if life > time.Minute && before != 1 && before != 2 {
			t.Errorf("%s: %d exchanges", answer, before)
		}
	}
}

// Answers of token services that are no token.
func TestTokenAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for answer, kind := range map[string]upstream.Kind{
		`{"errors":[{"code":"DENIED","message":"no"}]}`:       upstream.Denied, // with status 200
		`{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`: upstream.Unauthorized,
		`{"details":"incorrect username or password"}`:        upstream.Protocol,
		`{"token":["token-1"]}`:                               upstream.Protocol,
		`{"token":"token-1\r\nX: y"}`:                         upstream.Protocol,
		`<html>login</html>`:                                  upstream.Protocol,
		``:                                                    upstream.Protocol,
		`null`:                                                upstream.Protocol,
	} {
		r := newTokenRegistry(t)
		r.grant = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }
		c, _ := client(t, r.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		if wantKind(t, err, kind); strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// Challenges as registries send them. %[1]s is the registry's URL, %[2]s its host.
func TestChallengesOfRegistries(t *testing.T) {
	t.Parallel()
	for who, challenges := range map[string][]string{
		"GHCR":              {`Bearer realm="%[1]s/token",service="ghcr.io",scope="repository:org/app:pull"`},
		"Quay":              {`Bearer realm="%[1]s/token",service="quay.io",scope="repository:org/app:pull"`},
		"ECR public":        {`Bearer realm="%[1]s/token",service="public.ecr.aws",scope="aws"`},
		"Harbor":            {`Bearer realm="%[1]s//token",service="harbor-registry",scope="repository:org/app:pull"`},
		"Harbor, UI's":      {`Basic realm="harbor"`, `Bearer realm="%[1]s/token",service="harbor-registry"`},
		"Nexus":             {`BEARER realm="%[1]s/token",service="%[1]s/token"`},
		"Artifactory":       {`Bearer realm="%[1]s/token",service="%[2]s"`, `Basic realm="Artifactory Realm"`},
		"in one field":      {`Basic realm="a, b", Bearer realm="%[1]s/token",service="s"`},
		"other way round":   {`Bearer realm="%[1]s/token",service="s", Basic realm="x"`},
		"zot":               {`Bearer realm="%[1]s/token",service="zot",scope="repository:org/app:pull"`},
		"no quotes":         {`Bearer realm=%[1]s/token,service=s,scope=repository:org/app:pull`},
		"spaces and case":   {`bearer  Realm = "%[1]s/token" , Service="s"`},
		"unknown scheme":    {`Negotiate`, `AWS4-HMAC-SHA256 a=b, Bearer realm="%[1]s/token"`},
		"error beside":      {`Bearer realm="%[1]s/token",service="s",error="invalid_token",error_description="a \"b\", c"`},
		"several scopes":    {`Bearer realm="%[1]s/token",scope="repository:org/app:pull repository:base/app:pull,push"`},
		"realm with query":  {`Bearer realm="%[1]s/token?account=x&a=b",service="s"`},
		"no service":        {`Bearer realm="%[1]s/token"`},
		"empty parameters":  {`Bearer realm="%[1]s/token",service="",scope=""`},
		"token68 before it": {`Negotiate YWJj==, Bearer realm="%[1]s/token"`},
	} {
		var srv *httptest.Server
		srv = serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				if !strings.Contains(r.URL.Query().Encode(), "repository%3Aorg%2Fapp%3Apull") {
					t.Errorf("%s: asked for %s", who, r.URL.RawQuery)
				}
				_ = json.NewEncoder(w).Encode(map[string]string{"token": "T"})
				return
			}
			if r.Header.Get("Authorization") != "Bearer T" {
				for _, c := range challenges {
					c = strings.NewReplacer("%[1]s", srv.URL, "%[2]s", srv.Listener.Addr().String()).Replace(c)
					w.Header().Add("WWW-Authenticate", c)
				}
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, someIndex)
		})
		c, _ := client(t, srv.URL)
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// A registry behind something that ends TLS names its own token service by http. It is reached as the registry is.
func TestRealmOfTheRegistryItselfByHTTP(t *testing.T) {
	t.Parallel()
	var realm string
	srv, caFile := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			if user, _, _ := r.BasicAuth(); user != "me" {
				t.Errorf("user %q", user)
			}
			fmt.Fprint(w, `{"token":"T"}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer T" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, someIndex)
	}, nil)
	for _, tc := range []struct {
		realm string
		ok    bool
	}{{"http://127.0.0.1/token", true}, {"http://127.0.0.1:80/token", true}, {"http://127.0.0.1:81/token", false},
		{"http://localhost/token", false}} {
		realm = tc.realm
		c, _ := client(t, srv.URL, func(s *setup) {
			s.config.CAFile, s.config.Username, s.config.Password = caFile, "me", "s3cret"
		})
		if _, err := c.Manifest(t.Context(), testRepo, "latest"); tc.ok != (err == nil) || err != nil &&
			!errors.Is(err, upstream.ErrRefused) {
			t.Errorf("%s: %v", realm, err)
		}
	}
}

// Where the next page is, by a Link that knows the registry by another scheme, host or path: node-docker-registry-client#12,
// docker_registry2#56, nexus-public#1011.
func TestLinksOfRegistries(t *testing.T) {
	t.Parallel()
	for _, link := range []string{
		`</v2/org/app/tags/list?n=1&last=a>; rel="next"`,
		`<https://registry.example/v2/org/app/tags/list?n=1&last=a>; rel="next"`,
		`<http://10.0.0.1:8080/v2/org/app/tags/list?n=1&last=a>; rel="next"`,
		`<//other.example/v2/org/app/tags/list?n=1&last=a>;rel=next`,
		`<https://user:secret@registry.example/v2/org/app/tags/list?n=1&last=a#x>; rel="next"`,
		`<http://nexus:5002/repository/docker-proxy/v2/org/app/tags/list?n=1&last=a>; rel="next"`,
		`<https://x.example/artifactory/api/docker/local/v2/org/app/tags/list?last=a>; rel="next"`,
		`<?last=a&n=1>; rel="next"`,
		`</v2/org/app/tags/list?last=z>; rel="prev", </v2/org/app/tags/list?last=a>; rel="next"`,
		`</v2/org/app/tags/list?next_page=x%3D&last=a>; rel="next"`,
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/org/app/tags/list" {
				t.Errorf("%s: asked for %s", link, r.URL)
			}
			if r.URL.Query().Get("last") == "a" {
				fmt.Fprint(w, `{"tags":["b"]}`)
				return
			}
			w.Header().Set("Link", link)
			fmt.Fprint(w, `{"tags":["a"]}`)
		})
		c, _ := client(t, srv.URL)
		if tags, err := c.Tags(t.Context(), testRepo); err != nil || strings.Join(tags, " ") != "a b" {
			t.Errorf("%s: %q, %v", link, tags, err)
		}
	}
}

// Answers with status 200 that are no manifests.
func TestSuccessThatIsNone(t *testing.T) {
	t.Parallel()
	for body, kind := range map[string]upstream.Kind{
		"<!doctype html><title>Log in</title>": upstream.Protocol,
		"":                                     upstream.Protocol,
		"[]":                                   upstream.Protocol,
		`"x"`:                                  upstream.Protocol,
		`{"schemaVersion":2`:                   upstream.Protocol,
		`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}`: upstream.NotFound,
		`{"errors":[{"code":"DENIED"}]}`:                            upstream.Denied,
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json; charset=utf-8")
			fmt.Fprint(w, body)
		})
		c, _ := client(t, srv.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		wantKind(t, err, kind)
	}
}

// Storage beside the registry, at its own host, that refuses a second way to authenticate.
func TestStorageThatRefusesAuthorization(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	r := newTokenRegistry(t)
	next := r.Server.Config.Handler
	var stored atomic.Int32
	r.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.URL.Path == "/bucket/x":
			stored.Add(1)
			if req.Header.Get("Authorization") != "" {
				http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
				return
			}
			(&flaky{blob: blob}).ServeHTTP(w, req)
		case strings.Contains(req.URL.Path, "/blobs/") && req.Header.Get("Authorization") == "Bearer token-1":
			w.Header().Set("Location", "../../../../bucket/x?sig=1")
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			next.ServeHTTP(w, req)
		}
	})
	c, _ := client(t, r.URL)
	for range 2 {
		body, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), int64(len(blob)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, body); err != nil {
			t.Error(err)
		}
	}
}

// Ways to answer a request for a range, or for none.
func TestRangesOfRegistries(t *testing.T) {
	t.Parallel()
	blob := someBlob(1000)
	partial := func(contentRange string, body []byte) func(http.ResponseWriter, *http.Request, int64) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			setHeader(w.Header(), "Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
			return true
		}
	}
	for what, answer := range map[string]func(http.ResponseWriter, *http.Request, int64) bool{
		"from the start":   partial("bytes 0-999/1000", blob),
		"no Content-Range": partial("", blob[100:]),
		"not what follows": partial("bytes 50-999/1000", blob[50:]),
		"another total":    partial("bytes 100-1099/1100", append(blob[100:], make([]byte, 100)...)),
		"no total":         partial("bytes 100-999/*", blob[100:]),
		"in capitals":      partial("BYTES 100-999/1000", blob[100:]),
		"416": func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		},
	} {
		srv := serve(t, (&flaky{blob: blob, breaks: []int{100}, answer: answer}).ServeHTTP)
		c, _ := client(t, srv.URL)
		r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t, r); err != nil || digest.FromBytes(got) != digest.FromBytes(blob) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	// A whole blob that comes as a part, without being asked for one.
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-999/1000")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(blob)
	})
	c, _ := client(t, srv.URL)
	r, _, err := c.Blob(t.Context(), testRepo, digest.FromBytes(blob), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, r); err != nil || len(got) != 1000 {
		t.Errorf("206 for all of it: %d bytes, %v", len(got), err)
	}
}

// A listing is bounded as a whole: its bytes, its entries and its pages together.
func TestListingsAreBoundedAsAWhole(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sent, page := 0, 0
	filler := strings.Repeat("x", 1<<20)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		page++
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page))
		body := fmt.Sprintf(`{"schemaVersion":2,"tags":[],"manifests":[],"x":%q}`, filler)
		sent += len(body)
		fmt.Fprint(w, body)
	})
	c, _ := client(t, srv.URL)
	for what, list := range map[string]func() error{
		"tags":      func() error { _, err := c.Tags(t.Context(), testRepo); return err },
		"referrers": func() error { _, _, err := c.Referrers(t.Context(), testRepo, someDigest, ""); return err },
	} {
		sent = 0
		if wantKind(t, list(), upstream.TooLarge); sent > maxListing+2<<20 {
			t.Errorf("%s: %d bytes were fetched", what, sent)
		}
	}
}

// Many small entries cost no more than their bytes.
func TestEntriesAreCountedAcrossPages(t *testing.T) {
	t.Parallel()
	var tags []string
	if n, err := tagsOf([]byte(`{"tags":["a","b"]}`), 2, &tags); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := tagsOf([]byte(`{"tags":["a","b","c"]}`), 2, &tags); !errors.Is(err, upstream.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	page := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		page++
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page))
		fmt.Fprintf(w, `{"manifests":[%s]}`,
			strings.TrimSuffix(strings.Repeat(`{"digest":"`+someDigest.String()+`"},`, 4000), ","))
	})
	c, _ := client(t, srv.URL)
	_, _, err := c.Referrers(t.Context(), testRepo, someDigest, "")
	if wantKind(t, err, upstream.TooLarge); page != 3 {
		t.Errorf("%d pages of 4000 entries were fetched", page)
	}
}
