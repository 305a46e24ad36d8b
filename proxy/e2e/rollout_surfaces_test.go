package e2e

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// asked is what a client asks for by tag.
type asked struct{ method, address, path, host string }

// answer asks, and returns what came and the digest that the answer names or has.
func (a asked) answer(t *testing.T) ([]byte, digest.Digest) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), a.method, "http://"+a.address+a.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = a.host
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, of := body(t, resp)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%+v: %s %s", a, resp.Status, content)
	}
	if said := digest.Digest(resp.Header.Get("Docker-Content-Digest")); said != "" {
		if a.method == http.MethodGet && said != of {
			t.Errorf("%+v says %s and is %s", a, said, of)
		}
		of = said
	}
	return content, of
}

// A version that is held is given by no way that begins with its tag: not by any spelling of the name, by HEAD, as chunks
// for casync or through an edge, and no list names it. By its digest it is there, and once it is released all ways lead to
// it.
func TestHeldVersionByEveryWay(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("os/image:stable", bootable(t, "one", 100_000))
	p := newProxy(t, u, proxyOptions{rule: "rollout: {hold: 12h}",
		top: "answer_as: [" + upstreamHost + "]\ncasync: {serve: true}\n"})
	edge := newProxy(t, nil, proxyOptions{via: p.Clients})
	operator := func(args ...string) {
		t.Helper()
		command(t, nil, program, append(args, "--admin", "http://"+p.Operators)...)
	}
	const ref, repository = upstreamHost + "/os/image:stable", "/v2/" + upstreamHost + "/os/image"
	operator("warm", ref)
	ways := map[string]asked{
		"name": {http.MethodGet, p.Clients, repository + "/manifests/stable", ""},
		"HEAD": {http.MethodHead, p.Clients, repository + "/manifests/stable", ""},
		"ns":   {http.MethodGet, p.Clients, "/v2/os/image/manifests/stable?ns=" + upstreamHost, ""},
		"ns and name": {http.MethodGet, p.Clients, repository + "/manifests/stable?ns=" + upstreamHost,
			""},
		"default upstream": {http.MethodGet, p.Clients, "/v2/os/image/manifests/stable", ""},
		"answer_as":        {http.MethodGet, p.Clients, "/v2/os/image/manifests/stable", upstreamHost},
		"answer_as, HEAD":  {http.MethodHead, p.Clients, "/v2/os/image/manifests/stable", upstreamHost},
		"edge":             {http.MethodGet, edge.Clients, repository + "/manifests/stable", ""},
		"edge, HEAD":       {http.MethodHead, edge.Clients, repository + "/manifests/stable", ""},
	}
	all := func(state string, want digest.Digest) {
		t.Helper()
		for name, way := range ways {
			if _, got := way.answer(t); got != want {
				t.Errorf("%s: by %s comes %s, want %s", state, name, got, want)
			}
		}
		chunks := func(ref string) []byte {
			path := "/casync/" + upstreamHost + "/os/image/" + ref + ".caibx"
			content, _ := asked{http.MethodGet, p.Clients, path, ""}.answer(t)
			return content
		}
		if !bytes.Equal(chunks("stable"), chunks(want.String())) {
			t.Errorf("%s: the chunks of the tag are not those of %s", state, want)
		}
	}
	_, old := ways["name"].answer(t)
	all("the first version", old)

	u.push("os/image:stable", bootable(t, "two", 100_000))
	operator("warm", ref)
	all("held by the rule", old)
	operator("hold", ref)
	all("held by hand", old)
	var newest struct {
		Tags []struct{ Digest digest.Digest }
	}
	strata(t, &newest, "status", "--admin", "http://"+p.Operators, ref)
	fresh := newest.Tags[0].Digest
	if fresh == old {
		t.Fatal("there is no newer version")
	}
	asked{http.MethodGet, p.Clients, repository + "/manifests/" + fresh.String(), ""}.answer(t)
	for _, path := range []string{"/tags/list", "/referrers/" + old.String()} {
		if list, _ := (asked{http.MethodGet, p.Clients, repository + path, ""}).answer(t); strings.Contains(string(list),
			fresh.Encoded()) {
			t.Errorf("%s names it: %s", path, list)
		}
	}
	operator("rollback", ref)
	all("rolled back", old)
	operator("release", "--all", ref)
	all("released", fresh)
}
