package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// token lets in who sends it.
type token string

func (token) LogsIn() bool { return true }

func (t token) Check(w http.ResponseWriter, r *http.Request) (string, int, string) {
	if r.Header.Get("Authorization") == "Bearer "+string(t) {
		return "the token", 0, ""
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return "", http.StatusUnauthorized, "log in"
}

func TestLogin(t *testing.T) {
	t.Parallel()
	broken := Check{Name: "storage", Run: func(context.Context) error { return errors.New("disk /secret/path is on fire") }}
	h := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}, Gatherer: prometheus.NewRegistry(), Login: token("x"),
		Checks:  []Check{broken},
		OwnName: func(host string) bool { return host == "proxy.example" }})
	defer h.Close()
	ask := func(method, path, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://proxy.example"+path, nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{
		"/", "/events", "/repositories/x", "/versions/x", "/setup", "/assets/nothing", "/metrics", "/api/v1/status",
		"/api/v1/jobs", "/api/v1/repositories", "/api/v1/repositories/x",
		"/nothing", "//livez",
	} {
		if got := ask("GET", path, ""); got.Code != 401 || got.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a login: %d", path, got.Code)
		}
		if got := ask("GET", path, "Bearer x"); got.Code == 401 || got.Code == 403 {
			t.Errorf("%s with a login: %d", path, got.Code)
		}
	}
	if got := ask("POST", "/api/v1/warm", ""); got.Code != 401 {
		t.Errorf("warming without a login: %d", got.Code)
	}
	// Probes have no login, and learn no more than they need.
	if got := ask("GET", "/livez", ""); got.Code != 200 {
		t.Errorf("livez: %d", got.Code)
	}
	for authorization, told := range map[string]bool{"": false, "Bearer wrong": false, "Bearer x": true} {
		got := ask("GET", "/readyz", authorization)
		if got.Code != 503 || strings.Contains(got.Body.String(), "secret") != told {
			t.Errorf("readyz with %q: %d %s", authorization, got.Code, got.Body)
		}
	}
}

// A site whose name leads here gets nothing, and a page of another site changes nothing.
func TestRebinding(t *testing.T) {
	t.Parallel()
	h := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}})
	defer h.Close()
	called := New(Options{Status: fakeStatus{},
		OwnName: func(host string) bool { return strings.HasSuffix(host, "evil.example") }})
	defer called.Close()
	// A browser that has logged in sends that along for the name that it believes to talk to.
	guarded := New(Options{Status: fakeStatus{}, Warmer: fakeWarmer{}, Login: token("x")})
	defer guarded.Close()
	for host, ok := range map[string]bool{
		"127.0.0.1:5001": true, "[::1]:5001": true, "[::1]": true, "localhost": true, "LOCALHOST:5001": true, "strata": true,
		"strata:5001":   true,
		"10.1.2.3:5001": true, "a.localhost:1": true, "": true, "evil.example": false, "evil.example:5001": false,
		"127.0.0.1.evil.example":      false,
		"localhost.evil.example:5001": false, "evil.example.": false,
	} {
		if got := local(hostName(host)); got != ok {
			t.Errorf("%q: %t", host, got)
		}
		r := httptest.NewRequest(http.MethodGet, base+"/api/v1/status", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if (w.Code == 200) != ok {
			t.Errorf("%q: %d", host, w.Code)
		}
		w = httptest.NewRecorder()
		called.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%q where that is its name: %d", host, w.Code)
		}
		r.Header.Set("Authorization", "Bearer x")
		w = httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if (w.Code == 200) != ok {
			t.Errorf("%q with a login: %d", host, w.Code)
		}
		for _, h := range []*Handler{h, guarded} {
			r = httptest.NewRequest(http.MethodPost, base+"/api/v1/warm?wait=1",
				strings.NewReader(`{"references":["good"]}`))
			r.Host = host
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer x")
			w = httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if (w.Code == 200) != ok {
				t.Errorf("events for %q: %d", host, w.Code)
			}
		}
	}
}
