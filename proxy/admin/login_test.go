package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/operate"
)

// held notes who held a roll-out.
type held struct {
	Rollouts
	by []string
}

// Hold implements Rollouts.
func (h *held) Hold(_ context.Context, _, by, _ string) (*operate.RolloutReport, error) {
	h.by = append(h.by, by)
	return &operate.RolloutReport{}, nil
}

// certificates lets everybody in, as a listener does whose clients have certificates, under the name in one.
type certificates struct{}

func (certificates) LogsIn() bool { return true }

func (certificates) Check(http.ResponseWriter, *http.Request) (string, int, string) {
	return "root's certificate", 0, ""
}

// Who did something is who was let in, in the API and on the pages, whatever a header says.
func TestWhoDidIt(t *testing.T) {
	t.Parallel()
	for want, login := range map[string]Login{somebody: nil, "root's certificate": certificates{}, "the token": token("x")} {
		var rollouts held
		h := New(Options{Status: fakeStatus{}, Rollouts: &rollouts, Login: login})
		defer h.Close()
		forge := func(r *http.Request) {
			r.SetBasicAuth("alice", "x")
			if login == token("x") {
				r.Header.Set("Authorization", "Bearer x")
			}
		}
		r := httptest.NewRequest(http.MethodPost, base+"/api/v1/hold", strings.NewReader(`{"reference": "ghcr.io/a/b:1"}`))
		r.Header.Set("Content-Type", "application/json")
		forge(r)
		h.ServeHTTP(httptest.NewRecorder(), r)

		page := httptest.NewRequest(http.MethodGet, base+"/setup", nil)
		forge(page)
		form := httptest.NewRequest(http.MethodPost, base+"/do/hold", strings.NewReader(url.Values{
			"reference": {"ghcr.io/a/b:1"}, "token": {h.sessions.Token(page)}}.Encode()))
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		forge(form)
		h.ServeHTTP(httptest.NewRecorder(), form)
		if diff := cmp.Diff([]string{want, want}, rollouts.by); diff != "" {
			t.Error(diff)
		}
	}
}

// Each login that is refused is told of, with what was tried; who tries nothing is asked to, and that is all.
func TestRefusedLogins(t *testing.T) {
	t.Parallel()
	var told []Way
	h := New(Options{Status: fakeStatus{}, Login: token("x"),
		Refused: func(_ *http.Request, way Way) { told = append(told, way) }})
	defer h.Close()
	cookie := httptest.NewRecorder()
	if err := h.sessions.Begin(cookie, httptest.NewRequest(http.MethodGet, base, nil), "Bearer of yesterday"); err != nil {
		t.Fatal(err)
	}
	ask := func(path string, change func(*http.Request)) {
		r := httptest.NewRequest(http.MethodGet, base+path, nil)
		change(r)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("/api/v1/status", func(*http.Request) {})
	ask("/livez", func(r *http.Request) { r.SetBasicAuth("eve", "x") })
	ask("/api/v1/status", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") })
	if len(told) > 0 {
		t.Errorf("%q without a wrong login", told)
	}
	ask("/api/v1/status", func(r *http.Request) { r.Header.Set("Authorization", "bearer wrong") })
	ask("/", func(r *http.Request) { r.SetBasicAuth("eve", "x") })
	ask("/readyz", func(r *http.Request) { r.Header.Set("Authorization", "Negotiate x") })
	ask("/jobs", func(r *http.Request) { r.AddCookie(cookie.Result().Cookies()[0]) })

	shown := httptest.NewRecorder()
	h.ServeHTTP(shown, httptest.NewRequest(http.MethodGet, base+"/login", nil))
	form := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(shown.Body.String())
	if form == nil {
		t.Fatalf("no form: %s", shown.Body)
	}
	for _, secret := range []string{"wrong", "x"} {
		r := httptest.NewRequest(http.MethodPost, base+"/login",
			strings.NewReader(fmt.Sprintf("token=%s&secret=%s", url.QueryEscape(form[1]), secret)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if diff := cmp.Diff([]Way{ByToken, ByPassword, ByOther, BySession, ByPage}, told); diff != "" {
		t.Error(diff)
	}
}
