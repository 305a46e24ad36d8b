package registry_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/registry"
)

func TestReferrers(t *testing.T) {
	t.Parallel()
	const (
		index = `{"schemaVersion":2,"x":1,"manifests":[{"artifactType":"a/b","size":1,"y":2},{"size":3},{"artifactType":"c"}]}`
		empty = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	)
	for _, c := range []struct {
		name, index, query string
		filtered           bool
		fail               error
		status             int
		body, applied      string
	}{
		{name: "all", index: index, status: 200, body: index},
		{name: "type", index: index, query: "?artifactType=a/b", status: 200, applied: "artifactType",
			body: `{"manifests":[{"artifactType":"a/b","size":1,"y":2}],"schemaVersion":2,"x":1}`},
		{name: "no such type", index: index, query: "?artifactType=d", status: 200, applied: "artifactType",
			body: `{"manifests":[],"schemaVersion":2,"x":1}`},
		{name: "backend filtered", index: index, filtered: true, query: "?artifactType=a/b", status: 200,
			applied: "artifactType", body: index},
		{name: "twice", index: index, query: "?artifactType=a/b&artifactType=c", status: 400},
		{name: "nothing", status: 200, body: empty},
		{name: "nothing of a type", query: "?artifactType=a/b", status: 200, applied: "artifactType", body: empty},
		{name: "unknown digest", fail: registry.ManifestUnknown("m"), status: 200, body: empty},
		{name: "outage", fail: registry.Unavailable("m", 0), status: 503},
		{name: "fault", fail: errors.New("x"), status: 500},
		{name: "no JSON", index: "<html>", query: "?artifactType=a/b", status: 502},
		{name: "null", index: "null", query: "?artifactType=a/b", status: 502},
		{name: "no list", index: `{"manifests":{}}`, query: "?artifactType=a/b", status: 502},
		{name: "no descriptor", index: `{"manifests":[1]}`, query: "?artifactType=a/b", status: 502},
		{name: "list missing", index: `{}`, query: "?artifactType=a/b", status: 200, applied: "artifactType",
			body: `{"manifests":[]}`},
	} {
		backend, _, _ := newFake()
		backend.index, backend.filtered, backend.fail = []byte(c.index), c.filtered, c.fail
		w := call(backend.handler(), http.MethodGet, "/v2/"+testRepo+"/referrers/"+digest.FromString("x").String()+c.query)
		if w.Code != c.status || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if got := w.Header().Get("Oci-Filters-Applied"); got != c.applied {
			t.Errorf("%s: OCI-Filters-Applied %q, want %q", c.name, got, c.applied)
		}
		if c.status == 200 && !strings.HasPrefix(w.Header().Get("Content-Type"), "application/vnd.oci.image.index") {
			t.Errorf("%s: Content-Type %q", c.name, w.Header().Get("Content-Type"))
		}
	}
}
