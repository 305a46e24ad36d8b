package upstream

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestParseBudget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n      int64
		window time.Duration
		ok     bool
	}{
		"100;w=21600":          {100, 6 * time.Hour, true},
		"76 ; w=60":            {76, time.Minute, true},
		"2000":                 {2000, 0, true},
		"100, 100;w=60":        {100, time.Minute, true},
		"":                     {0, 0, false},
		"many;w=60":            {0, time.Minute, false},
		"-1":                   {0, 0, false},
		"9999999999999999999":  {0, 0, false},
		"4000000000000000;w=x": {maxBudget, 0, true},
	} {
		n, window, ok := parseBudget(text)
		if n != want.n || window != want.window || ok != want.ok {
			t.Errorf("%q: %d, %s, %v", text, n, window, ok)
		}
	}
}

// When a budget is nearly used up, known tags are not refreshed; what nobody has is still fetched.
func TestBudgetIsKeptForMisses(t *testing.T) {
	t.Parallel()
	remaining, heads, gets := "11;w=21600", 0, 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ratelimit-limit", "100;w=21600")
		w.Header().Set("ratelimit-remaining", remaining)
		w.Header().Set("Docker-Content-Digest", digest.FromString("{}").String())
		if r.Method == http.MethodHead {
			heads++
			return
		}
		gets++
		_, _ = w.Write([]byte("{}"))
	})
	c, clock := client(t, srv.URL)
	refresh := func() error {
		_, err := c.Refresh(t.Context(), testRepo, "latest")
		return err
	}
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	remaining = "10;w=21600"
	if err := refresh(); err != nil { // it did not know yet
		t.Fatal(err)
	}
	e := wantKind(t, refresh(), RateLimited)
	if !errors.Is(e, ErrHeld) || e.RetryAfter != longLook {
		t.Errorf("got %+v", e)
	}
	if b := c.Status()[0].Budget; b != (Budget{Limit: 100, Remaining: 10, Known: true, Low: true}) {
		t.Errorf("status: %+v", b)
	}
	if _, err := c.Manifest(t.Context(), testRepo, "other"); err != nil || gets != 1 {
		t.Errorf("a miss: %v, %d requests", err, gets)
	}
	if _, err := c.Head(t.Context(), testRepo, "other"); err != nil || heads != 3 {
		t.Errorf("a tag that nobody knows: %v, %d requests", err, heads)
	}
	// After a while one refresh looks how it stands now.
	_ = clock.sleep(t.Context(), longLook)
	remaining = "90;w=21600"
	if err := refresh(); err != nil {
		t.Error(err)
	}
	if err := refresh(); err != nil {
		t.Error(err)
	}
}
