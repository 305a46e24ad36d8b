package transport

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/upstream"
)

func answer(status int, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// try sends one request through a gate; it reports whether it was let through.
func try(t *testing.T, g *circuit, resp *http.Response, err error) bool {
	t.Helper()
	done, held := g.enter(context.Background())
	if held != nil {
		if !errors.Is(held, upstream.ErrHeld) {
			t.Fatalf("held back by %v", held)
		}
		return false
	}
	done(t.Context(), resp, err)
	return true
}

func TestBreakerOpensAndTriesOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var states []string
		g := newCircuit("registry.test", false, time.Now, func(_, state string) { states = append(states, state) })
		for range tripAfter {
			if !try(t, g, nil, errors.New("connection refused")) {
				t.Fatal("held back before it failed often enough")
			}
		}
		if try(t, g, answer(200), nil) {
			t.Fatal("asked right after it failed")
		}
		e := asError(t, g.check(context.Background()))
		if e.Kind != upstream.Unavailable || e.RetryAfter != openFor || !errors.Is(e, upstream.ErrHeld) {
			t.Errorf("held back with %+v", e)
		}
		time.Sleep(openFor + time.Millisecond)
		probe, err := g.enter(context.Background())
		if err != nil {
			t.Fatalf("nobody may try: %v", err)
		}
		if try(t, g, answer(200), nil) {
			t.Error("a second request while the first tries")
		}
		probe(t.Context(), answer(http.StatusBadGateway), nil)
		if try(t, g, answer(200), nil) {
			t.Error("asked although the trial failed")
		}
		time.Sleep(openFor + time.Millisecond)
		for range 2 {
			if !try(t, g, answer(200), nil) {
				t.Error("held back although it is back")
			}
		}
		if len(states) != 5 || states[4] != "closed" {
			t.Errorf("states: %v", states)
		}
	})
}

// Who leaves, what we refuse ourselves and what the server answers about one thing say nothing about the server.
func TestBreakerIgnores(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithTimeout(t.Context(), -1)
	defer stop()
	for name, tc := range map[string]struct {
		ctx  context.Context
		resp *http.Response
		err  error
		trip bool
	}{
		"client left":    {gone, nil, context.Canceled, false},
		"refused by us":  {t.Context(), nil, upstream.ErrRefused, false},
		"not found":      {t.Context(), answer(404), nil, false},
		"one bad answer": {t.Context(), answer(500), nil, false},
		"rate limit":     {t.Context(), answer(429), nil, false},
		"too slow":       {late, nil, context.DeadlineExceeded, true},
		"reset":          {t.Context(), nil, errors.New("connection reset"), true},
		"bad gateway":    {t.Context(), answer(502), nil, true},
		"unavailable":    {t.Context(), answer(503), nil, true},
		"cloudflare":     {t.Context(), answer(522), nil, true},
	} {
		g := newCircuit("registry.test", false, time.Now, func(string, string) {})
		for range 2 * tripAfter {
			if done, err := g.enter(context.Background()); err == nil {
				done(tc.ctx, tc.resp, tc.err)
			}
		}
		if tripped := g.check(context.Background()) != nil; tripped != tc.trip {
			t.Errorf("%s: breaker open: %v", name, tripped)
		}
	}
}

func TestServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"30": 30 * time.Second, "": 0, "0": 0, "soon": 0, "99999": maxPause,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"1767323165":                    2 * time.Minute, // in seconds since 1970
	} {
		c := newClock()
		g := newCircuit("registry.test", false, c.now, func(string, string) {})
		if !try(t, g, answer(429, "Retry-After", header), nil) {
			t.Fatal("held back at once")
		}
		if got := g.pause(); got != want {
			t.Errorf("Retry-After %q: left alone for %s, want %s", header, got, want)
		}
		if want == 0 {
			continue
		}
		if e := asError(t, g.check(context.Background())); e.Kind != upstream.RateLimited || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %+v", header, e)
		}
		_ = c.sleep(t.Context(), want)
		if !try(t, g, answer(200), nil) {
			t.Errorf("Retry-After %q: held back for longer", header)
		}
	}
}

// A server that nobody asks after it failed is not shown as failing for ever.
func TestHalfOpenPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newCircuit("registry.test", false, time.Now, func(_, _ string) {})
		for i := range tripAfter {
			if g.failing() != i {
				t.Errorf("%d failures, want %d", g.failing(), i)
			}
			try(t, g, nil, errors.New("connection refused"))
		}
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{0, "open"}, {openFor + time.Second, "half-open"}, {forgiveAfter, "closed"}} {
			time.Sleep(step.after)
			if got := g.state(); got != step.want {
				t.Errorf("%s later: %s, want %s", step.after, got, step.want)
			}
		}
		if !try(t, g, nil, errors.New("connection refused")) || g.state() != "open" {
			t.Errorf("after another failure: %s", g.state())
		}
	})
}

// A persistent circuit is tried by whoever comes next, by one at a time: the others wait for what comes of it.
func TestPersistent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var states []string
		g := newCircuit("strata.test", true, time.Now, func(_, state string) { states = append(states, state) })
		for range tripAfter {
			try(t, g, nil, errors.New("connection refused"))
		}
		if g.state() != "open" || !g.givenUp() {
			t.Errorf("after %d failures: %s", tripAfter, g.state())
		}
		// together lets some ask while the first of them is answered, and returns how many got through.
		together := func(resp *http.Response, err error) int {
			time.Sleep(time.Microsecond)
			first, held := g.enter(t.Context())
			if held != nil {
				t.Fatalf("held back by %v", held)
			}
			through := make(chan bool, 5)
			for range cap(through) {
				go func() { through <- try(t, g, answer(200), nil) }()
			}
			synctest.Wait()
			if len(through) != 0 {
				t.Errorf("%d did not wait", len(through))
			}
			first(t.Context(), resp, err)
			n := 0
			for range cap(through) {
				if <-through {
					n++
				}
			}
			return n
		}
		if n := together(nil, errors.New("connection refused")); n != 0 {
			t.Errorf("%d asked although the trial failed", n)
		}
		if n := together(answer(200), nil); n != 5 || g.state() != "closed" || g.givenUp() {
			t.Errorf("%d got through to a server that is back, %s", n, g.state())
		}
		if len(states) != 2 {
			t.Errorf("states: %v", states)
		}
	})
}

// Who leaves while trying says nothing, and another tries.
func TestPersistentTrialLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newCircuit("strata.test", true, time.Now, func(string, string) {})
		for range tripAfter {
			try(t, g, nil, errors.New("connection refused"))
		}
		time.Sleep(time.Microsecond)
		first, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		gone, leave := context.WithCancel(t.Context())
		var left error
		go func() { _, left = g.enter(gone) }()
		through := make(chan bool, 3)
		for range cap(through) {
			go func() { through <- try(t, g, answer(200), nil) }()
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if !errors.Is(left, context.Canceled) {
			t.Errorf("who left got %v", left)
		}
		first(gone, nil, context.Canceled)
		for range cap(through) {
			if !<-through {
				t.Error("held back by one that left")
			}
		}
	})
}
