package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upstream"
)

// When a budget is nearly used up, known tags are not refreshed; what nobody has is still fetched.
// lookAgain is how long a budget of six hours is believed to be used up.
const lookAgain = 15 * time.Minute

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
	e := wantKind(t, refresh(), upstream.RateLimited)
	if !errors.Is(e, upstream.ErrHeld) || e.RetryAfter != lookAgain {
		t.Errorf("got %+v", e)
	}
	if b := c.Status()[0].Budget; b != (upstream.Budget{Limit: 100, Remaining: 10, Known: true, Low: true}) {
		t.Errorf("status: %+v", b)
	}
	if _, err := c.Manifest(t.Context(), testRepo, "other"); err != nil || gets != 1 {
		t.Errorf("a miss: %v, %d requests", err, gets)
	}
	if _, err := c.Head(t.Context(), testRepo, "other"); err != nil || heads != 3 {
		t.Errorf("a tag that nobody knows: %v, %d requests", err, heads)
	}
	// After a while one refresh looks how it stands now.
	_ = clock.sleep(t.Context(), lookAgain)
	remaining = "90;w=21600"
	if err := refresh(); err != nil {
		t.Error(err)
	}
	if err := refresh(); err != nil {
		t.Error(err)
	}
}
