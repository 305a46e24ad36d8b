package limits_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/limits"
)

const perMinute = 60

// client asks a handler that has what is called known, and nothing else.
type client struct {
	http.Handler
	asked chan string // what came through
}

func newClient(answer http.HandlerFunc) *client {
	c := &client{asked: make(chan string, 10_000)}
	c.Handler = limits.NewMisses().Hold(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked <- r.URL.Path
		answer(w, r)
	}), func() float64 { return perMinute / time.Minute.Seconds() },
		func(w http.ResponseWriter, _ *http.Request, wait time.Duration) {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
			w.WriteHeader(http.StatusTooManyRequests)
		})
	return c
}

func known(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "known") {
		w.WriteHeader(http.StatusNotFound)
	}
}

// get asks for something from an address and returns the status and when to ask again.
func (c *client) get(from, path, login string) (code int, wait string) {
	r := httptest.NewRequest(http.MethodGet, "http://proxy"+path, nil)
	r.RemoteAddr = from + ":5555"
	r.Header.Set("Authorization", login)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Code, w.Header().Get("Retry-After")
}

func manifest(name string) string { return "/v2/r/manifests/" + name }

func TestMisses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(known)
		want := func(code int, from, path, login string) {
			t.Helper()
			if got, wait := c.get(from, path, login); got != code || (wait != "") != (code == http.StatusTooManyRequests) {
				t.Errorf("%s %s as %q: %d, want %d; again after %q", from, path, login, got, code, wait)
			}
		}
		for range 2 * perMinute { // what is there costs nothing, however often
			want(200, "10.0.0.1", manifest("known"), "")
		}
		for i := range 2 * perMinute { // nor does what is missing, but once
			want(404, "10.0.0.1", "/v2/none/manifests/x", "")
			want(200, "10.0.0.1", manifest("known"+strconv.Itoa(i)), "")
		}
		for i := range perMinute - 1 {
			want(404, "10.0.0.1", "/v2/guess"+strconv.Itoa(i)+"/manifests/x", "")
		}
		want(429, "10.0.0.1", "/v2/guess/manifests/x", "")
		want(429, "10.0.0.1", "/v2/guess/blobs/x", "")
		want(429, "10.0.0.1", "/v2/guess/tags/list", "")
		want(404, "10.0.0.1", "/v2/none/manifests/x", "")
		want(200, "10.0.0.1", manifest("known"), "")
		want(404, "10.0.0.1", "/v2/", "")
		want(404, "10.0.0.2", "/v2/guess/manifests/x", "")
		// What is new in a repository that gave something is not held up by that; but it has no more names to guess either.
		want(200, "10.0.0.1", manifest("known-later"), "")
		for i := range perMinute {
			want(404, "10.0.0.1", manifest("guess"+strconv.Itoa(i)), "")
		}
		want(429, "10.0.0.1", manifest("guess"), "")
		// That somebody else behind the address was given something does not show.
		want(200, "10.0.0.2", manifest("known-secret"), "alice")
		want(429, "10.0.0.1", manifest("known-secret"), "")
		want(429, "10.0.0.1", manifest("known"), "mallory")
		// One IPv6 network is one client.
		for i := range perMinute {
			want(404, "[2001:db8::"+strconv.FormatInt(int64(i+1), 16)+"]", manifest(strconv.Itoa(i)), "")
		}
		want(429, "[2001:db8::ffff]", manifest("more"), "")
		time.Sleep(time.Second)
		want(404, "10.0.0.1", "/v2/later/manifests/x", "")
		want(429, "10.0.0.1", "/v2/later-still/manifests/x", "")
	})
}

// What is refused because it is not signed costs nothing, and makes no repository known.
func TestRefusalsAreNoMisses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signed := false
		c := newClient(func(w http.ResponseWriter, _ *http.Request) {
			if signed {
				w.Header().Set("Strata-Denied-By", "upstream")
			} else {
				w.Header().Set("Strata-Denied-By", "verify")
			}
			w.WriteHeader(http.StatusForbidden)
		})
		for i := range 3 * perMinute {
			for _, path := range []string{"/v2/r/blobs/", "/v2/r/manifests/"} {
				if code, _ := c.get("10.0.0.1", path+strconv.Itoa(i), ""); code != http.StatusForbidden {
					t.Errorf("refusal %d of %s: %d", i, path, code)
				}
			}
		}
		signed = true
		for i := range 2 * perMinute {
			want := http.StatusForbidden
			if i >= perMinute {
				want = http.StatusTooManyRequests
			}
			repository := []string{"r", "s" + strconv.Itoa(i)}[i%2]
			if code, _ := c.get("10.0.0.1", "/v2/"+repository+"/manifests/x"+strconv.Itoa(i), ""); code != want {
				t.Errorf("miss %d: %d, want %d", i, code, want)
			}
		}
	})
}

// A delta that is refused of a layer that is there costs nothing; a layer that is not costs what it does as a blob.
func TestMissesOfDeltas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := true
		c := newClient(func(w http.ResponseWriter, _ *http.Request) {
			if refused {
				w.Header().Set("Strata-Delta-Refused", "gain")
			}
			w.WriteHeader(http.StatusNotFound)
		})
		ask := func(i int) int {
			code, _ := c.get("10.0.0.1", "/strata/v1/delta?repository=r&layer="+strconv.Itoa(i), "")
			return code
		}
		for i := range 3 * perMinute {
			if code := ask(i); code != http.StatusNotFound {
				t.Errorf("refusal %d: %d", i, code)
			}
		}
		refused = false
		for i := range perMinute {
			if code := ask(1000 + i); code != http.StatusNotFound {
				t.Errorf("miss %d: %d", i, code)
			}
		}
		if code := ask(2000); code != http.StatusTooManyRequests {
			t.Errorf("one miss too many: %d", code)
		}
		if code, _ := c.get("10.0.0.1", "/v2/r/blobs/x", ""); code != http.StatusTooManyRequests {
			t.Errorf("a blob after too many misses of deltas: %d", code)
		}
	})
}

// Questions that come at once are not more than those that come one after the other; hosts that wait for the same thing, or
// for the many blobs of an image, are no flood.
func TestMissesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan int)
		c := newClient(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-answer) })
		ask := func(n int, path func(i int) string) (codes map[int]int, end func(code int)) {
			codes = map[int]int{}
			var wg sync.WaitGroup
			var mu sync.Mutex
			for i := range n {
				wg.Go(func() {
					code, _ := c.get("10.0.0.1", path(i), "")
					mu.Lock()
					defer mu.Unlock()
					codes[code]++
				})
			}
			synctest.Wait()
			return codes, func(code int) {
				for range len(c.asked) {
					<-c.asked
					answer <- code
				}
				wg.Wait()
			}
		}
		codes, end := ask(500, func(int) string { return manifest("new") })
		end(200)
		if codes[200] != 500 {
			t.Errorf("waiting for one image: %v", codes)
		}
		codes, end = ask(8*perMinute, func(i int) string { return "/v2/r/blobs/" + strconv.Itoa(i) })
		end(200)
		if codes[200] != 8*perMinute {
			t.Errorf("blobs: %v", codes)
		}
		codes, end = ask(500, func(i int) string { return manifest(strconv.Itoa(i)) })
		end(404)
		if codes[404] != perMinute || codes[429] != 500-perMinute {
			t.Errorf("guesses: %v", codes)
		}
	})
}

func TestRequestsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := limits.Requests(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }),
			func() (int, int) { return 10, 6 },
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
		var wg sync.WaitGroup
		var mu sync.Mutex
		ask := func(from string, n int) map[int]int {
			codes := map[int]int{}
			for range n {
				wg.Go(func() {
					r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
					r.RemoteAddr = from + ":1"
					h.ServeHTTP(w, r)
					mu.Lock()
					defer mu.Unlock()
					codes[w.Code]++
				})
			}
			synctest.Wait()
			return codes
		}
		one, other := ask("10.0.0.1", 20), ask("10.0.0.2", 20)
		close(release)
		wg.Wait()
		if one[200] != 6 || one[429] != 14 || other[200] != 4 || other[429] != 16 {
			t.Error(one, other)
		}
		if again := ask("10.0.0.1", 1); again[200] != 1 {
			t.Error(again)
		}
	})
}
