package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
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
			"42.20261123 · no. 1", "were not kept", digest("a"),
			"hosts download 40 MB of layers that they had once more"},
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

// However much there is, the overview lists the beginning, the most urgent first, and leads to where the rest is.
func TestOverviewStaysShort(t *testing.T) {
	t.Parallel()
	w := worldOf("1,000 repositories")
	now := time.Now()
	for i := range w.repositories {
		name := w.repositories[i].Name
		w.repositories[i].Tags[0].Rollout = &operate.RolloutReport{Reference: name + ":stable", State: "stepping",
			Versions: []operate.RolledReport{{Digest: digest("b"), Share: 1},
				{Digest: digest("a"), Share: .1, NextAt: now.Add(time.Duration(2000-i) * time.Minute)}}}
		w.jobs = append(w.jobs, operate.JobReport{ID: fmt.Sprint("more-", i), Kind: operate.KindRechunk, Repository: name,
			Reference: "stable", State: jobs.Queued, StartedAt: now})
		w.status.Upstreams = append(w.status.Upstreams, operate.UpstreamReport{Host: fmt.Sprintf("up-%04d.example", i),
			Breaker: "closed"})
		w.status.Problems = append(w.status.Problems, fmt.Sprintf("trouble no. %04d", i))
	}
	last := len(w.repositories) - 1
	w.repositories[last-1].Tags[0].Rollout.Held = &catalog.RolloutStop{By: "kim", At: now}
	w.status.Upstreams[last].Breaker = "open"
	h := New(w.options())
	defer h.Close()
	look := func(path string) string {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, base+path, nil))
		return rec.Body.String()
	}
	held, next := w.repositories[last-1].Name+":stable</a>", w.repositories[last].Name+":stable</a>"
	page := look("/")
	if rows := strings.Count(page, "<tr"); rows > 3+3*20 {
		t.Errorf("%d rows", rows)
	}
	rollouts := page[strings.Index(page, `id="rollouts-title"`):]
	if a, b := strings.Index(rollouts, held), strings.Index(rollouts, next); a < 0 || b < a {
		t.Errorf("the roll-out that waits is at %d, the one whose step is next at %d", a, b)
	}
	for _, want := range []string{`<a href="/repositories?sort=rollouts">and 981 more</a>`,
		`<a href="/jobs">and 983 more</a>`,
		`<a href="/?all=1">and 981 more</a>`, `<a href="/?all=1">and 983 more</a>`, w.status.Upstreams[last].Host} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview lacks %q", want)
		}
	}
	all := look("/?all=1")
	for _, want := range []string{w.status.Problems[last], w.status.Upstreams[last-1].Host} {
		if strings.Contains(page, want) || !strings.Contains(all, want) {
			t.Errorf("%q is to be on the page of all, and there only", want)
		}
	}
	if list := look("/repositories?sort=rollouts"); !strings.Contains(list, "<strong>Roll-outs") ||
		strings.Index(list, w.repositories[last-1].Name) > strings.Index(list, w.repositories[1].Name) ||
		!strings.Contains(list, "1 roll-out, 1 of which waits for an operator") {
		t.Error("the list does not begin with the roll-out that waits")
	}
}

// edgeOf is a proxy that has a repository from another Strata.
type edgeOf struct{ *world }

// Repository implements Status.
func (e edgeOf) Repository(context.Context, string) (*operate.RepositoryDetail, error) {
	return &operate.RepositoryDetail{RepositoryReport: operate.RepositoryReport{Name: "ghcr.io/x/os", Via: true,
		Tags: []operate.TagReport{{Tag: "1", Digest: digest("a"), SourceDigest: digest("a"), Served: "original",
			AsItIs: "it is served as the other Strata has it"}}}}, nil
}

// Pages say what is true of an edge, count alike, hand on the key, and do not contradict each other.
func TestPagesSayWhatIsTrue(t *testing.T) {
	t.Parallel()
	w := worldOf("1,000 repositories")
	w.status.Repositories = 12345
	w.deltas.Deltas = append(w.deltas.Deltas, operate.DeltaPair{State: "refused", Refused: "gain", Layer: digest("c")})
	w.deltas.Came = append(w.deltas.Came, operate.DeltaPair{State: "applied", Bytes: 1161, LayerBytes: 1000, Ratio: 1.161})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	o := w.options()
	o.Status = edgeOf{w}
	o.Hosts = func() hosts.Proxy { return hosts.Proxy{Keys: []string{public}, Insecure: true} }
	h := New(o)
	defer h.Close()
	for path, want := range map[string][]string{
		"/repositories/ghcr.io/x/os": {"as the other Strata has it",
			"Versions are made by the Strata that this one is an edge of"},
		"/":       {">12,345</a>", "started "},
		"/deltas": {"not worth it, and not kept", "applied, not worth it"},
		"/setup":  {"strata client-config --key PROXY.pub --write / HOST IMAGE"},
		"/setup?host=p.example&image=ghcr.io/x": {"strata client-config --key /etc/pki/containers/strata-p.example.pub " +
			"--insecure --write / p.example ghcr.io/x", "merge the two"},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, base+path, nil))
		for _, part := range want {
			if !strings.Contains(rec.Body.String(), part) {
				t.Errorf("%s lacks %q", path, part)
			}
		}
		for _, wrong := range []string{"No version was rechunked yet", "refused: gain", "up since"} {
			if strings.Contains(rec.Body.String(), wrong) {
				t.Errorf("%s has %q", path, wrong)
			}
		}
	}
}
