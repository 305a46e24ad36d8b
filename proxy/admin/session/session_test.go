package session

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// clock is a time that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func request(url string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, url, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func begin(t *testing.T, s *Sessions, url, authorization string) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := s.Begin(w, request(url), authorization); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// A session is its login, for this process, this listener and a while; nobody reads it from the cookie.
func TestSession(t *testing.T) {
	t.Parallel()
	const here, secret = "http://127.0.0.1:5001/", "Bearer correct-horse-battery"
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := New(c.now)
	cookie := begin(t, s, here, secret)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure || cookie.Path != "/" {
		t.Errorf("the cookie is %v", cookie)
	}
	if strings.Contains(cookie.Value, "horse") {
		t.Error("the cookie tells the token")
	}
	restored := func(s *Sessions, url string, c *http.Cookie) string {
		return s.Restore(request(url, c)).Header.Get("Authorization")
	}
	if got := restored(s, here, cookie); got != secret || !s.Has(request(here, cookie)) {
		t.Errorf("restored %q", got)
	}
	sent := request(here, cookie)
	sent.Header.Set("Authorization", "Bearer other")
	if got := s.Restore(sent).Header.Get("Authorization"); got != "Bearer other" {
		t.Errorf("a header that was sent gave way to the cookie: %q", got)
	}
	changed := *cookie
	changed.Value = cookie.Value[:len(cookie.Value)-2] + "AA"
	renamed := *cookie
	renamed.Name = "strata-6001"
	for name, got := range map[string]string{
		"of another process": restored(New(c.now), here, cookie), "changed": restored(s, here, &changed),
		"of another listener": restored(s, "http://127.0.0.1:6001/", &renamed),
	} {
		if got != "" {
			t.Errorf("a cookie %s is a login: %q", name, got)
		}
	}
	c.at = c.at.Add(Lifetime)
	if got := restored(s, here, cookie); got != "" {
		t.Errorf("after its time: %q", got)
	}
}

// What was ended stays ended, however many are.
func TestEnd(t *testing.T) {
	t.Parallel()
	const here = "https://proxy.example/"
	c := &clock{time.Unix(1_800_000_000, 0)}
	s := New(c.now)
	for range maxEnded + 5 {
		cookie := begin(t, s, here, "Bearer x")
		if !cookie.Secure || cookie.Name != "__Host-strata" {
			t.Fatalf("over TLS the cookie is %v", cookie)
		}
		w := httptest.NewRecorder()
		s.End(w, request(here, cookie))
		if s.Has(request(here, cookie)) {
			t.Fatal("it goes on")
		}
		if gone := w.Result().Cookies()[0]; gone.MaxAge >= 0 || gone.Value != "" {
			t.Fatalf("the browser keeps %v", gone)
		}
	}
	if len(s.ended) > maxEnded {
		t.Errorf("%d are remembered", len(s.ended))
	}
	if err := s.Begin(httptest.NewRecorder(), request(here), strings.Repeat("x", maxAuthorization+1)); err == nil {
		t.Error("a login that no cookie holds was taken")
	}
}

// A form's token is good for whom it was shown to.
func TestToken(t *testing.T) {
	t.Parallel()
	const here = "http://127.0.0.1:5001/"
	s := New(time.Now)
	mine, other := request(here, begin(t, s, here, "Bearer x")), request(here, begin(t, s, here, "Bearer x"))
	token := s.Token(mine)
	for name, c := range map[string]struct {
		ok   bool
		r    *http.Request
		text string
	}{
		"mine": {true, mine, token}, "of another session": {false, other, token}, "none": {false, mine, ""},
		"without a session": {false, request(here), token}, "nobody's": {true, request(here), s.Token(request(here))},
		"of another process": {false, mine, New(time.Now).Token(mine)},
	} {
		if got := s.Owns(c.r, c.text); got != c.ok {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func FuzzRestore(f *testing.F) {
	s := New(time.Now)
	f.Add("", "127.0.0.1:5001")
	f.Add("AAAA", "[::1]:5001")
	f.Add(strings.Repeat("A", 64), "proxy.example")
	f.Fuzz(func(t *testing.T, value, host string) {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
		r.Host = host
		r.Header.Set("Cookie", cookieName(r)+"="+value)
		if got := s.Restore(r).Header.Get("Authorization"); got != "" {
			t.Errorf("a cookie that nobody made is the login %q", got)
		}
	})
}
