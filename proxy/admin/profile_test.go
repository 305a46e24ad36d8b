package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type closedDoor struct{}

func (closedDoor) LogsIn() bool { return true }

func (closedDoor) Check(http.ResponseWriter, *http.Request) (string, int, string) {
	return "", http.StatusUnauthorized, "log in"
}

// Profiles are there for who may see the rest, and for nobody else; none takes long.
func TestProfiles(t *testing.T) {
	t.Parallel()
	open, closed := New(Options{}), New(Options{Login: closedDoor{}})
	defer open.Close()
	defer closed.Close()
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/debug/pprof/":                      {http.StatusOK, "goroutine"},
		"/debug/pprof/goroutine?debug=1":     {http.StatusOK, "goroutine profile:"},
		"/debug/pprof/heap?debug=1":          {http.StatusOK, "heap profile:"},
		"/debug/pprof/cmdline":               {http.StatusNotFound, ""},
		"/debug/pprof/trace?seconds=61":      {http.StatusBadRequest, "up to 60"},
		"/debug/pprof/profile?seconds=1e300": {http.StatusBadRequest, "up to 60"},
		"/debug/pprof/profile?seconds=x":     {http.StatusBadRequest, "up to 60"},
		"/debug/pprof/heap?seconds=600":      {http.StatusBadRequest, "up to 60"},
	} {
		w := httptest.NewRecorder()
		open.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		closed.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a login: %d", path, w.Code)
		}
	}
}
