package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/savings"
)

// The pages keep within their own policy: nothing inline, nothing from elsewhere, no text made into markup.
func TestPagesKeepTheirPolicy(t *testing.T) {
	t.Parallel()
	const page = "text/html; charset=utf-8"
	h := New(Options{Status: fakeStatus{}})
	defer h.Close()
	for path, kind := range map[string]string{
		"/": page, "/repositories": page, "/repositories/ghcr.io/ublue-os/bluefin": page, "/versions/" + digest("a"): page,
		"/jobs": page, "/fleet": page, "/deltas": page, "/setup": page, "/login": page,
		"/assets/strata.js": "text/javascript; charset=utf-8", "/assets/strata.css": "text/css; charset=utf-8",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, base+path, nil))
		body := w.Body.String()
		if w.Code != 200 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		for _, needed := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
			"require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !strings.Contains(w.Header().Get("Content-Security-Policy"), needed) {
				t.Errorf("%s: the policy lacks %s", path, needed)
			}
		}
		if strings.Contains(w.Header().Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy is unsafe", path)
		}
		bad := regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|<style|<script>|\son[a-z]+="|style="|https?://|@import|url\(`)
		if found := bad.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if kind == page {
			continue // made anew each time
		}
		again := httptest.NewRequest(http.MethodGet, base+path, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s again: %d", path, w.Code)
		}
	}
}

// Where there is no page, browsers get one that says so and leads on, and programs get JSON; a slash too many is no error.
func TestMissingPages(t *testing.T) {
	t.Parallel()
	h := New(worldOf("busy").options())
	defer h.Close()
	name := bluefin().Name
	for _, c := range []struct {
		path, accept string
		status       int
		want         string // part of the body, or where it leads
	}{
		{"/nope", "text/html,*/*", 404, "there is no page at /nope"},
		{"/jobs/999", "text/html", 404, `<nav aria-label="Pages">`},
		{"/<b>", "text/html", 404, "/&lt;b&gt;"},
		{"/api/v2", "text/html/", 404, "there is no page"},
		{"/nope", "", 404, `{"error":"there is nothing at this path"}`},
		{"/nope", "application/json", 404, `{"error":"there is nothing at this path"}`},
		{"/jobs/?x=1", "text/html", 301, "/jobs?x=1"},
		{"/repositories/" + name + "/", "text/html", 301, "/repositories/" + name},
		{"/repositories/", "text/html", 301, "/repositories"},
		{"/nope/", "text/html", 404, "there is no page at /nope/"},
	} {
		r := httptest.NewRequest(http.MethodGet, base+"/", nil)
		path, query, _ := strings.Cut(c.path, "?")
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String()+w.Header().Get("Location"), c.want) {
			t.Errorf("%s: %d %s %s", c.path, w.Code, w.Header().Get("Location"), w.Body.String())
		}
	}
}

// People read versions by the names that images give them, in titles, lists and links; digests stand beside them. What pulls
// took is told of each repository, where it cost more, too.
func TestPagesNameVersions(t *testing.T) {
	t.Parallel()
	const label = "42.20261130.1"
	name := bluefin().Name
	w := worldOf("busy")
	o := w.options()
	h := New(o)
	defer h.Close()
	for path, want := range map[string][]string{
		"/versions/" + digest("a"): {"<title>Version " + label, "<h1>Version " + label, "before: 42.20261123",
			"42.20261123 · no. 1", "were not kept", digest("a")},
		"/repositories/" + name: {`title="` + label + `">` + label + "</a>", "What pulls took, day by day", "saved.</p>",
			`title="` + digest("a") + `"`},
		"/repositories/" + name + ":stable": {"<dd>" + label + "</dd>", "5.0 %: <a href=\"/versions/" + digest("a"),
			label + "</a>"},
		"/fleet": {">42.1</span>"}, "/": {"Saved in pulls", "clients took"},
		"/repositories?sort=pulled": {"<strong>Saved in pulls"},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, base+path, nil))
		for _, part := range want {
			if !strings.Contains(rec.Body.String(), part) {
				t.Errorf("%s lacks %q", path, part)
			}
		}
	}
	o.Savings = func(context.Context, string) (*savings.Report, error) {
		return &savings.Report{Sent: 3e9, Source: 2e9, Days: []catalog.SavedDay{{Day: "2026-05-01", Sent: 3e9, Source: 2e9,
			Pulls: 7}}, Repositories: []savings.RepositoryReport{{Name: name, Sent: 3e9, Source: 2e9}}}, nil
	}
	more := New(o)
	defer more.Close()
	for path, want := range map[string]string{"/repositories/" + name: "more than the 2.0 GB", "/": "<dd>−1.0 GB</dd>",
		"/repositories": "−1.0 GB"} {
		rec := httptest.NewRecorder()
		more.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, base+path, nil))
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
}
