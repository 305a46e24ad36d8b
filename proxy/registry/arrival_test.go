package registry_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/registry"
)

// answering is a registry that answers as some registries.
func answering(backend *fake, hosts ...string) registry.Options {
	o := backend.options(nil)
	o.Names = name.Parser{DefaultUpstream: "quay.io"}
	o.AnswersAs = func() []string { return hosts }
	o.Self = "strata-SELF"
	return o
}

// askAs asks with a Host header and, where it is not empty, a TLS server name.
func askAs(h http.Handler, host, serverName, path string, via ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	if serverName != "" {
		r.TLS = &tls.ConnectionState{ServerName: serverName}
	}
	r.Header["Via"] = via
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A request means the registry whose host it arrived for; all others are read as before.
func TestAnswerAs(t *testing.T) {
	t.Parallel()
	const proxy = "proxy.example:5000"
	checkArrivals(t, []arrival{
		{"ghcr.io", "ghcr.io", "a/b", 200, "ghcr.io/a/b"},
		{"ghcr.io", "", "a/b", 200, "ghcr.io/a/b"},
		{"GHCR.IO:443", "GHCR.io", "a/b", 200, "ghcr.io/a/b"},
		{"ghcr.io.", "ghcr.io", "a/b", 200, "ghcr.io/a/b"},
		{"ghcr.io.:443", "ghcr.io", "a/b", 200, "ghcr.io/a/b"},
		{"harbor.example.:8443", "harbor.example", "a/b", 200, "harbor.example:8443/a/b"},
		{"registry-1.docker.io", "registry-1.docker.io", "alpine", 200, "docker.io/library/alpine"},
		{"", "ghcr.io", "a/b", 200, "ghcr.io/a/b"},
		{"harbor.example:8443", "harbor.example", "docker.io/library/alpine", 200,
			"harbor.example:8443/docker.io/library/alpine"},
		{"ghcr.io", "ghcr.io", "ghcr.io/b", 200, "ghcr.io/ghcr.io/b"}, // as the registry itself takes it
		{"ghcr.io", "ghcr.io", "a/b?ns=ghcr.io", 200, "ghcr.io/a/b"},
		{"ghcr.io", "ghcr.io", "a/b?ns=quay.io", 400, ""},
		{"ghcr.io", "docker.io", "a/b", 421, ""},
		{"ghcr.io", "ghcr.io", "A/b", 400, ""},
		// Whoever knows the proxy by its own name, whatever the connection was made for.
		{proxy, "proxy.example", "ghcr.io/a/b", 200, "ghcr.io/a/b"},
		{proxy, "proxy.example", "a/b", 200, "quay.io/a/b"},
		{proxy, "proxy.example", "a/b?ns=ghcr.io", 200, "ghcr.io/a/b"},
		{"quay.io", "quay.io", "ghcr.io/a/b", 200, "ghcr.io/a/b"},
		{"192.0.2.1", "", "a/b", 200, "quay.io/a/b"},
		{"[2001:db8::1]:5000", "", "a/b", 200, "quay.io/a/b"},
		{"[2001:db8::1]", "", "a/b", 200, "quay.io/a/b"},
		{"10.0.0.7:5000", "proxy.example", "a/b", 200, "quay.io/a/b"}, // a balancer's look
		{"", "", "a/b", 200, "quay.io/a/b"},
	})
}

// Where server name and Host header are both there, and one of them is a registry's, they have to agree; another port is
// another registry's, which has to be listed.
func TestAnswerAsContradicted(t *testing.T) {
	t.Parallel()
	const proxy = "proxy.example:5000"
	checkArrivals(t, []arrival{
		{proxy, "ghcr.io", "a/b", 421, ""},
		{"ghcr.io", "proxy.example", "a/b", 421, ""},
		{"192.0.2.1", "ghcr.io", "a/b", 421, ""},
		{"[2001:db8::1]:5000", "ghcr.io", "a/b", 421, ""},
		{"[2001:db8::1]", "ghcr.io", "a/b", 421, ""},
		{"ghcr.io.example", "ghcr.io", "a/b", 421, ""},
		{"index.docker.io", "registry-1.docker.io", "library/alpine", 200, "docker.io/library/alpine"},
		{"ghcr.io:5000", "ghcr.io", "a/b", 421, ""},
		{"GHCR.io.:5000", "ghcr.io", "a/b", 421, ""},
		{"ghcr.io:5000", "", "a/b", 421, ""},
		{"ghcr.io:", "ghcr.io", "a/b", 200, "ghcr.io/a/b"},
		{"ghcr.io:5000", "proxy.example", "a/b", 421, ""},
		{"ghcr.io:5000", "ghcr.io", "ghcr.io/a/b", 421, ""},
		{"harbor.example", "harbor.example", "a/b", 421, ""},
		{"", "harbor.example", "a/b", 421, ""}, // nobody knows which port was meant
	})
}

// arrival is a request, and the repository that it is answered with.
type arrival struct {
	host, serverName, path string
	status                 int
	want                   string
}

func checkArrivals(t *testing.T, cases []arrival) {
	t.Helper()
	for _, tc := range cases {
		backend, _, _ := newFake()
		h := registry.New(answering(backend, "ghcr.io", "docker.io", "harbor.example:8443"))
		path, query, _ := strings.Cut(tc.path, "?")
		got := askAs(h, tc.host, tc.serverName, "/v2/"+path+"/manifests/stable?"+query)
		if got.Code != tc.status {
			t.Errorf("%+v: %d %s", tc, got.Code, got.Body)
		}
		if tc.want != "" && backend.repo != nametest.Repository(tc.want) {
			t.Errorf("%+v: %s", tc, backend.repo)
		}
	}
}

// Names in answers, and what is said of what is not there, are the registry's.
func TestAnswerAsLists(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	o := answering(backend, "ghcr.io")
	var asked []registry.Want
	o.Access = only{[]string{"ghcr.io/a/b", testRepo}, &asked}
	h := registry.New(o)
	var got []string
	for next := "/v2/_catalog?n=1"; next != ""; {
		answer := askAs(h, "ghcr.io", "", next)
		var page struct{ Repositories []string }
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Repositories...)
		next, _, _ = strings.Cut(strings.TrimPrefix(answer.Header().Get("Link"), "<"), ">")
	}
	if diff := cmp.Diff([]string{"a/b", "ublue-os/bluefin"}, got); diff != "" {
		t.Error(diff)
	}
	tags := askAs(h, "ghcr.io", "", "/v2/ublue-os/bluefin/tags/list?n=1")
	if link := tags.Header().Get("Link"); !strings.HasPrefix(link, "</v2/ublue-os/bluefin/tags/list?") {
		t.Errorf("%s; %s", link, tags.Body)
	}
	if missing := askAs(h, "ghcr.io", "", "/v2/ublue-os/bluefin/manifests/none"); strings.Contains(missing.Body.String(),
		"names no") {
		t.Error(missing.Body)
	}
	asked = nil
	askAs(h, "ghcr.io", "", "/v2/")
	askAs(h, "ghcr.io", "", "/v2/ublue-os/bluefin/tags/list")
	repo := nametest.Repository(testRepo)
	if diff := cmp.Diff([]registry.Want{{As: "ghcr.io"}, {As: "ghcr.io", Repository: repo}}, asked,
		equateNames); diff != "" {
		t.Error(diff)
	}
}

// A proxy that DNS leads to itself says so, in place of asking itself until something times out.
func TestAnswerAsLoop(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	h := registry.New(answering(backend, "ghcr.io"))
	for via, want := range map[string]int{"1.1 strata-SELF": 508, "1.0 front, 1.1 strata-SELF": 508,
		"1.1 strata-OTHER": 200} {
		if got := askAs(h, "ghcr.io", "", "/v2/a/b/manifests/stable", via); got.Code != want {
			t.Errorf("%s: %d %s", via, got.Code, got.Body)
		}
		if got := askAs(h, "proxy.example", "", "/v2/a/b/manifests/stable", via); got.Code != 200 {
			t.Errorf("by its own name, %s: %d", via, got.Code)
		}
	}
}

// An edge refuses its own requests for what it would ask another Strata for, and no others.
func TestViaLoop(t *testing.T) {
	t.Parallel()
	backend, _, _ := newFake()
	o := backend.options(nil)
	o.Self, o.Behind = "strata-SELF", func(host string) bool { return host == "ghcr.io" }
	h := registry.New(o)
	for _, tc := range []struct {
		via, path string
		want      int
	}{
		{"1.1 strata-SELF", "/v2/ghcr.io/a/b/manifests/stable", 508},
		{"1.1 strata-SELF, 1.1 strata-OTHER, 1.1 front", "/v2/ghcr.io/a/b/manifests/stable", 508},
		{"1.1 strata-OTHER, 1.1 front", "/v2/ghcr.io/a/b/manifests/stable", 200},
		{"1.1 strata-SELF", "/v2/quay.io/a/b/manifests/stable", 200},
		{"1.1 strata-SELF", "/v2/", 200},
	} {
		if got := askAs(h, "proxy.example", "", tc.path, tc.via); got.Code != tc.want {
			t.Errorf("%+v: %d %s", tc, got.Code, got.Body)
		}
	}
}
