package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/header"
)

func TestStatusBecomesKind(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status    int
		code      string
		kind      upstream.Kind
		transient bool
	}{
		{404, "MANIFEST_UNKNOWN", upstream.NotFound, false},
		{404, "", upstream.NotFound, false},
		{410, "", upstream.NotFound, false},
		{400, "NAME_INVALID", upstream.NotFound, false},
		{401, "UNAUTHORIZED", upstream.Unauthorized, false},
		{401, "NAME_UNKNOWN", upstream.NotFound, false},
		{403, "DENIED", upstream.Denied, false},
		{403, "UNAUTHORIZED", upstream.Unauthorized, false},
		{403, "", upstream.Denied, false},
		{429, "TOOMANYREQUESTS", upstream.RateLimited, true},
		{403, "TOOMANYREQUESTS", upstream.RateLimited, true},
		{500, "UNKNOWN", upstream.Unavailable, true},
		{503, "MANIFEST_UNKNOWN", upstream.Unavailable, true},
		{408, "", upstream.Unavailable, true},
		{501, "UNSUPPORTED", upstream.Protocol, false},
		{418, "", upstream.Protocol, false},
		{206, "", upstream.Protocol, false},
	} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if tc.code == "" {
				w.WriteHeader(tc.status)
				fmt.Fprint(w, "<html>not an error document</html>")
				return
			}
			refuse(w, tc.status, tc.code, "because")
		})
		c, clock := client(t, srv.URL)
		_, err := c.Manifest(t.Context(), testRepo, "latest")
		e := wantKind(t, err, tc.kind)
		if e.Status != tc.status || e.Code != tc.code || e.Transient() != tc.transient {
			t.Errorf("%d %s: got %+v", tc.status, tc.code, e)
		}
		if e.Host != testRepo.Host() || e.Repository != testRepo.Path() || e.Op != opManifest {
			t.Errorf("the error does not say what failed: %+v", e)
		}
		want := 0
		if tc.transient {
			want = DefaultAttempts - 1
		}
		if got := len(clock.waited()); got != want {
			t.Errorf("%d %s: %d retries, want %d", tc.status, tc.code, got, want)
		}
	}
}

func TestTransientFailureIsRetried(t *testing.T) {
	t.Parallel()
	calls := 0
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls++; calls {
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, someIndex)
		}
	})
	c, clock := client(t, srv.URL, func(s *setup) { s.config.Backoff = time.Second })
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	waits := clock.waited()
	if len(waits) != 2 || waits[0] < 500*time.Millisecond || waits[0] > time.Second || waits[1] < time.Second ||
		waits[1] > 2*time.Second {
		t.Errorf("waits %v", waits)
	}
}

// Harbor#18707: a 429 is passed on with what upstream said, and not hammered.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := newClock().at
	for _, tc := range []struct {
		name, header string
		status       int
		kind         upstream.Kind
		waits        []time.Duration
		after        time.Duration
	}{
		{"short", "3", 429, upstream.RateLimited, slices.Repeat([]time.Duration{3 * time.Second}, 3), 3 * time.Second},
		{"long", "900", 429, upstream.RateLimited, nil, 15 * time.Minute},
		{"long, of an outage", "900", 503, upstream.Unavailable, nil, 15 * time.Minute},
		{"a date", now.Add(time.Hour).Format(http.TimeFormat), 503, upstream.Unavailable, nil, time.Hour},
		{"absurd", "99999999999999999999999", 429, upstream.RateLimited, nil, header.MaxRetryAfter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.header)
				refuse(w, tc.status, "TOOMANYREQUESTS", "slow down")
			})
			c, clock := client(t, srv.URL)
			_, err := c.Manifest(t.Context(), testRepo, "latest")
			e := wantKind(t, err, tc.kind)
			if diff := cmp.Diff(append([]time.Duration{}, tc.waits...), clock.waited()); diff != "" {
				t.Error(diff)
			}
			if e.RetryAfter != tc.after || !strings.Contains(e.Error(), "retry after") {
				t.Errorf("%v, retry after %s, want %s", e, e.RetryAfter, tc.after)
			}
		})
	}
}

func TestNoWaitBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	c, clock := client(t, srv.URL, func(s *setup) { s.options.Now = time.Now })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, err := c.Manifest(ctx, testRepo, "latest")
	if e := wantKind(t, err, upstream.RateLimited); e.RetryAfter != 5*time.Second || len(clock.waited()) != 0 {
		t.Errorf("waits %v, then %v", clock.waited(), err)
	}
}

func TestUpstreamThatIsDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, _ := client(t, "http://"+l.Addr().String())
	_, err = c.Manifest(t.Context(), testRepo, "latest")
	if e := wantKind(t, err, upstream.Unavailable); !e.Transient() || !strings.Contains(e.Error(), "refused") {
		t.Errorf("got %v", e)
	}
}

func TestUpstreamThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Timeout, s.config.Attempts = 50*time.Millisecond, 1 })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	if e := wantKind(t, err, upstream.Timeout); !e.Transient() {
		t.Errorf("got %v", e)
	}
}

func TestUpstreamWhoseManifestTrickles(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, " ")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Timeout, s.config.Attempts = 50*time.Millisecond, 1 })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	wantKind(t, err, upstream.Timeout)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt, full := range map[int]time.Duration{1: 200, 2: 400, 3: 800, 4: 1600, 5: 3200, 6: 5000, 60: 5000} {
		full *= time.Millisecond
		for range 100 {
			if d := backoff(DefaultBackoff, attempt); d < full/2 || d > full {
				t.Fatalf("attempt %d: %s, want %s to %s", attempt, d, full/2, full)
			}
		}
	}
}

// Messages are one line, and hold nothing that anybody could use: credentials, tokens, signed URLs.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzM2NyZXQifQ.c2lnbmF0dXJl"
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		refuse(w, http.StatusForbidden, "DENIED",
			fmt.Sprintf("no\r\nX: y \x1b[31m %s pw hunter2 at https://u:hunter2@cdn/x?X-Amz-Signature=s3cret token %s %s",
				r.Header.Get("Authorization"), jwt, strings.Repeat("z", 5000)))
	})
	c, _ := client(t, srv.URL, func(s *setup) { s.config.Username, s.config.Password = "me", "hunter2" })
	_, err := c.Manifest(t.Context(), testRepo, "latest")
	text := wantKind(t, err, upstream.Denied).Error()
	for _, secret := range []string{"hunter2", "s3cret", "bWU6aHVudGVyMg", "eyJ", "\n", "\r", "\x1b",
		strings.Repeat("z", 200)} {
		if strings.Contains(text, secret) {
			t.Errorf("%q in %q", secret, text)
		}
	}
	if !strings.Contains(text, "DENIED: no") || len(text) > 700 {
		t.Errorf("got %d bytes: %q", len(text), text)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &upstream.Error{Host: "ghcr.io", Repository: "a/b", Op: opManifest, Kind: upstream.RateLimited, Status: 429,
		RetryAfter: 90 * time.Second,
		Err:        errors.New("TOOMANYREQUESTS: slow down")}
	want := "get manifest from upstream ghcr.io/a/b: rate limited (status 429), retry after 1m30s: TOOMANYREQUESTS: slow down"
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	c, _ := client(t, "https://registry.test")
	_, err := c.Tags(t.Context(), nametest.Repository("other.test/a/b"))
	if got := wantKind(t, err, upstream.NotConfigured).Error(); !strings.Contains(got, "other.test/a/b: not configured") {
		t.Errorf("got %s", got)
	}
}
