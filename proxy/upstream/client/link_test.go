package client

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/strata-oci/strata/proxy/upstream/transport"
)

func FuzzLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?last=b&n=1>; rel="next"`)
	f.Add(`<a>; rel=prev, <b>; title="x,y;z"; rel="first next"`)
	f.Add(`<//evil/>; rel=next`)
	f.Add(`<https://u:p@registry.test/>;rel=next`)
	at := &url.URL{Scheme: "https", Host: "registry.test", Path: "/v2/a/tags/list"}
	f.Fuzz(func(t *testing.T, value string) {
		next, err := nextPage(at, http.Header{"Link": {value}})
		if err == nil && next != nil && (!transport.SameOrigin(next, at) || next.User != nil) {
			t.Errorf("leads to %s", next)
		}
	})
}
