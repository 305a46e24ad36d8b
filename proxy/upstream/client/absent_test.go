package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
)

// What an upstream does not have is not asked for again at once, by whatever call, and is found when it comes to be.
func TestAbsenceIsRemembered(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var there atomic.Bool
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if !there.Load() {
			asked.Add(1)
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no")
			return
		}
		fmt.Fprint(w, someIndex)
	})
	missing := digest.FromString("missing")
	for what, ask := range map[string]func(*Client) error{
		"head":     func(c *Client) error { _, err := c.Head(t.Context(), testRepo, "latest"); return err },
		"manifest": func(c *Client) error { _, err := c.Manifest(t.Context(), testRepo, "latest"); return err },
		"digest": func(c *Client) error {
			_, err := c.Manifest(t.Context(), testRepo, name.Reference(missing))
			return err
		},
		"stat": func(c *Client) error { _, err := c.StatBlob(t.Context(), testRepo, missing); return err },
		"blob": func(c *Client) error { _, _, err := c.Blob(t.Context(), testRepo, missing, -1); return err },
		"tags": func(c *Client) error { _, err := c.Tags(t.Context(), testRepo); return err },
	} {
		there.Store(false)
		c, clock := client(t, srv.URL)
		for range absentTimes { // a refusal may have been a fault
			if e := wantKind(t, ask(c), upstream.NotFound); errors.Is(e, upstream.ErrHeld) {
				t.Errorf("%s: one refusal is remembered", what)
			}
		}
		first := asked.Swap(0)
		for range 5 {
			e := wantKind(t, ask(c), upstream.NotFound)
			if !errors.Is(e, upstream.ErrHeld) || e.Status != http.StatusNotFound || e.Code != "MANIFEST_UNKNOWN" {
				t.Errorf("%s: remembered as %+v", what, e)
			}
		}
		if n := asked.Swap(0); first == 0 || n != 0 {
			t.Errorf("%s: asked %d times, then %d times", what, first, n)
		}
		_ = clock.sleep(t.Context(), absentFor)
		wantKind(t, ask(c), upstream.NotFound)
		if n := asked.Swap(0); n*absentTimes != first {
			t.Errorf("%s: asked %d times when the memory is old", what, n)
		}
		_ = clock.sleep(t.Context(), absentFor)
		there.Store(true)
		if _, err := c.Head(t.Context(), testRepo, "latest"); err != nil {
			t.Errorf("%s: there now: %v", what, err)
		}
	}
}

// A known tag is always looked at: it may be back.
func TestRefreshIsNotAnsweredFromMemory(t *testing.T) {
	t.Parallel()
	asked := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			asked++
		}
		http.NotFound(w, r)
	})
	c, _ := client(t, srv.URL)
	for range 3 {
		_, err := c.Refresh(t.Context(), testRepo, "latest")
		wantKind(t, err, upstream.NotFound)
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	_, err := c.Head(t.Context(), testRepo, "latest")
	if wantKind(t, err, upstream.NotFound); asked != 3 {
		t.Errorf("a stranger's question about it: asked %d times", asked)
	}
}

// Failures that pass are no absence.
func TestOutageIsNoAbsence(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 429, 500, 503} {
		asked := 0
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(status)
		})
		c, _ := client(t, srv.URL, func(s *setup) { s.config.Attempts = 1 })
		for range 2 {
			if _, err := c.Manifest(t.Context(), testRepo, "latest"); err == nil || asked == 0 {
				t.Errorf("%d: %v", status, err)
			}
		}
		if asked != 2 {
			t.Errorf("%d: asked %d times", status, asked)
		}
	}
}

func TestMissesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMissLimit()
		for i := range missSlots {
			leave, err := m.enter(t.Context(), time.Second)
			if err != nil {
				t.Fatalf("question %d: %v", i, err)
			}
			defer leave(true)
		}
		start := time.Now()
		if _, err := m.enter(t.Context(), 10*time.Second); !errors.Is(err, upstream.ErrHeld) {
			t.Errorf("one more: %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it waited %s for those under way", took)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.enter(gone, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("one who left: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := newMissLimit()
		for range 3 * missSlots { // what finds something is not bounded
			leave, err := m.enter(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			leave(false)
		}
		for range missSlots {
			leave, err := m.enter(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			leave(true)
		}
		start := time.Now()
		if _, err := m.enter(t.Context(), time.Hour); !errors.Is(err, upstream.ErrHeld) || !time.Now().Equal(start) {
			t.Errorf("one more, while all pause: %v after %s", err, time.Since(start))
		}
		time.Sleep(missPause)
		synctest.Wait()
		if leave, err := m.enter(t.Context(), 0); err != nil {
			t.Errorf("after the pause: %v", err)
		} else {
			leave(false)
		}
	})
}

// Made-up names use up neither what an upstream bears with nor what it grants: known tags are looked at, and repositories
// in which something was found are pulled from.
func TestMadeUpNamesHoldUpNobody(t *testing.T) {
	t.Parallel()
	asked := map[string]int{}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		w.Header().Set("RateLimit-Limit", "40;w=60")
		w.Header().Set("RateLimit-Remaining", "30;w=60")
		if !strings.HasPrefix(r.URL.Path, "/v2/org/app/") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, someIndex)
	})
	c, _ := client(t, srv.URL)
	if _, err := c.Head(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	held := 0
	for i := range 60 {
		_, err := c.Head(t.Context(), nametest.Repository(fmt.Sprintf("registry.test/made/up%d", i)), "latest")
		if errors.Is(err, upstream.ErrHeld) {
			held++
			wantKind(t, err, upstream.RateLimited)
		}
	}
	if made := len(asked) - 1; made > 10 || held != 60-made {
		t.Errorf("%d made-up names were asked for, %d held back; a quarter of 40 may be", made, held)
	}
	if _, err := c.Refresh(t.Context(), testRepo, "latest"); err != nil {
		t.Errorf("a known tag: %v", err)
	}
	if _, err := c.Manifest(t.Context(), testRepo, name.Reference(someDigest)); err != nil {
		t.Errorf("what a known tag stands for: %v", err)
	}
}

// Where nothing is known of a budget, misses are bounded all the same; each repository that exists has its own bound.
func TestMissesOfOneRepositoryDoNotCountElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/good") {
			fmt.Fprint(w, someIndex)
			return
		}
		if r.Method == http.MethodGet {
			asked++
		}
		http.NotFound(w, r)
	})
	c, _ := client(t, srv.URL)
	other := nametest.Repository("registry.test/org/other")
	for _, repo := range []name.Repository{testRepo, other} {
		if _, err := c.Head(t.Context(), repo, "good"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * missSlots {
		_, _ = c.Head(t.Context(), testRepo, name.Reference(fmt.Sprint("made-up-", i)))
	}
	if asked != missSlots {
		t.Errorf("%d of %d made-up tags were asked for", asked, 3*missSlots)
	}
	if _, err := c.Manifest(t.Context(), other, "good"); err != nil {
		t.Errorf("another repository: %v", err)
	}
	if _, err := c.Refresh(t.Context(), testRepo, "good"); err != nil {
		t.Errorf("a known tag: %v", err)
	}
}

// Made-up names push out nothing that is kept of repositories that exist.
func TestMadeUpNamesPushOutNoSession(t *testing.T) {
	t.Parallel()
	r := newTokenRegistry(t)
	c, _ := client(t, r.URL)
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil {
		t.Fatal(err)
	}
	for i := range defaultSessions + maxNewcomers {
		if _, err := c.session("test", nametest.Repository(fmt.Sprintf("registry.test/made/up%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Manifest(t.Context(), testRepo, "latest"); err != nil || r.exchanges.Load() != 1 {
		t.Errorf("%d exchanges, %v", r.exchanges.Load(), err)
	}
	if n := c.newcomers.Len(); n != maxNewcomers {
		t.Errorf("%d newcomers are kept", n)
	}
}
