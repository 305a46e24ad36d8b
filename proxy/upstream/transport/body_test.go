package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

// dripping gives a few bytes at a time, each after a while, and ends with its context.
type dripping struct {
	ctx   context.Context //nolint:containedctx // the request's
	every time.Duration
	bytes int
}

func (d *dripping) Read(p []byte) (int, error) {
	select {
	case <-time.After(d.every):
		return min(d.bytes, len(p)), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (*dripping) Close() error { return nil }

// tripFunc is a server without a network.
type tripFunc func(*http.Request) (*http.Response, error)

func (f tripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// testHost is a host whose requests a function answers.
func testHost(t *testing.T, c Config, trip tripFunc) *Host {
	t.Helper()
	h, err := New("registry.test", c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.home, h.foreign = trip, trip
	return h
}

// get sends one request.
func get(t *testing.T, h *Host, blob bool) (*Response, error) {
	t.Helper()
	return h.Send(t.Context(), Request{Method: http.MethodGet, URL: h.URL("/v2/x"), Blob: blob}, h)
}

// A body that falls silent, or of which hardly anything comes, is given up; how long that takes is bounded.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		every time.Duration
		bytes int
		want  time.Duration // when it is given up; 0: never
		text  string
	}{
		{"silent", time.Hour, 1, DefaultTimeout, "nothing came for 30s"},
		{"a byte every two seconds", 2 * time.Second, 1, paceWindow, "30 bytes in 1m0s"},
		{"a byte just in time", DefaultTimeout - time.Second, 1, 3 * (DefaultTimeout - time.Second), "3 bytes in 1m27s"},
		{"a little less than enough", time.Second, DefaultMinRate - 1, paceWindow,
			"61380 bytes in 1m0s are less than 1024 a second"},
		{"enough", time.Second, DefaultMinRate, 0, ""},
		{"seldom, but enough", 29 * time.Second, 29 * DefaultMinRate, 0, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := testHost(t, Config{}, func(r *http.Request) (*http.Response, error) {
				body := &dripping{r.Context(), tc.every, tc.bytes}
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: 1 << 40,
					Request: r}, nil
			})
			resp, err := get(t, h, true)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			start := time.Now()
			for time.Since(start) < 10*time.Minute && err == nil {
				_, err = resp.Body.Read(make([]byte, 64<<10))
			}
			took := time.Since(start)
			if tc.want == 0 {
				if err != nil {
					t.Errorf("%s: given up after %s: %v", tc.name, took, err)
				}
				return
			}
			if !errors.Is(err, upstream.ErrStalled) || took != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s: after %s: %v", tc.name, took, err)
			}
			if kind := upstream.Classify(err); kind != upstream.Timeout || !(&upstream.Error{Kind: kind}).Transient() {
				t.Errorf("%s: kind %s", tc.name, kind)
			}
		})
	}
}

// A reader that takes its time is not held against the sender.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := testHost(t, Config{}, func(r *http.Request) (*http.Response, error) {
			body := io.NopCloser(strings.NewReader(strings.Repeat("x", 100)))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: 100, Request: r}, nil
		})
		resp, err := get(t, h, true)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for range 100 {
			if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// The place of a download that trickles is given back, to the next in line.
func TestTrickleHoldsNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		h := testHost(t, Config{MaxConnections: 2, MaxDownloads: 1}, func(r *http.Request) (*http.Response, error) {
			body := io.NopCloser(strings.NewReader("blob"))
			if first {
				body = &dripping{r.Context(), 2 * time.Second, 1}
			}
			first = false
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: -1, Request: r}, nil
		})
		slow, err := get(t, h, true)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.Copy(io.Discard, slow.Body)
			_ = slow.Body.Close()
		}()
		start := time.Now()
		next, err := get(t, h, true)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != paceWindow {
			t.Errorf("the next one waited %s", took)
		}
		_ = next.Body.Close()
		if s := h.Status(); s.Running != 0 {
			t.Errorf("%d requests are running", s.Running)
		}
	})
}

// The body of a redirect that nobody wants holds its request no longer than any other.
func TestRedirectWhoseBodyTrickles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := testHost(t, Config{}, func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("blob")),
				Request: r}
			if r.URL.Path == "/v2/x" {
				resp.StatusCode, resp.Header, resp.ContentLength = 307, http.Header{"Location": {"/y"}}, -1
				resp.Body = &dripping{r.Context(), 2 * time.Second, 1}
			}
			return resp, nil
		})
		start := time.Now()
		resp, err := get(t, h, false)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != paceWindow {
			t.Errorf("the redirect was followed after %s", took)
		}
		_ = resp.Body.Close()
	})
}

// Requests for what nobody knows leave a connection for the others, and the second half of the line.
func TestUnknownLeavesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		h := testHost(t, Config{MaxConnections: 4, MaxDownloads: 1, Rate: 100},
			func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/v2/unknown" {
					<-hold
				}
				return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			})
		for range 10 {
			go func() {
				resp, err := h.Send(Unknown(t.Context()), Request{Method: http.MethodHead, URL: h.URL("/v2/unknown")}, h)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
			}()
		}
		synctest.Wait()
		resp, err := get(t, h, false)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		close(hold)
		synctest.Wait()
	})
	l := newLimits(Config{Rate: 1, MaxWait: 4 * time.Second, MaxConnections: 1, MaxDownloads: 1}, Options{
		Now: newClock().now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	for i := range 5 {
		if err := l.turn(t.Context(), true); (err == nil) != (i < 3) {
			t.Errorf("unknown %d: %v", i, err)
		}
	}
	for i := range 3 {
		if err := l.turn(t.Context(), false); (err == nil) != (i < 2) {
			t.Errorf("known %d: %v", i, err)
		}
	}
}

// Questions that were asked in vain use up a quarter of what the upstream grants; then the known ones go on alone until
// the next window.
func TestMissesUseUpTheirShareOnly(t *testing.T) {
	t.Parallel()
	c := newClock()
	var b budget
	for range 1000 { // nothing is known of a budget
		b.miss(c.now())
	}
	if err := b.allowUnknown(c.now()); err != nil {
		t.Error(err)
	}
	_ = c.sleep(t.Context(), someWindow)
	b.note(http.Header{"Ratelimit-Limit": {"100;w=3600"}, "Ratelimit-Remaining": {"80;w=3600"}}, c.now())
	misses := 0
	for b.allowUnknown(c.now()) == nil && misses < 1000 {
		b.miss(c.now())
		misses++
	}
	if misses != 25 {
		t.Errorf("%d misses were allowed", misses)
	}
	e := asError(t, b.allowUnknown(c.now()))
	if e.Kind != upstream.RateLimited || e.RetryAfter != 3*time.Minute || !errors.Is(e, upstream.ErrHeld) {
		t.Errorf("got %+v", e)
	}
	if wait := b.wait(c.now()); wait != 0 {
		t.Errorf("known tags wait %s", wait)
	}
	_ = c.sleep(t.Context(), time.Hour)
	if err := b.allowUnknown(c.now()); err != nil {
		t.Errorf("in the next window: %v", err)
	}
	b.miss(c.now())
	_ = c.sleep(t.Context(), -2*time.Hour)
	if err := b.allowUnknown(c.now()); err != nil {
		t.Errorf("a clock that was set back: %v", err)
	}
}
