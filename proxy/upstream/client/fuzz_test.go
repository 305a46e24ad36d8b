package client

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
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

// A page of referrers, as one of tags, costs no more entries than it may, and what is joined of it is an index again.
func FuzzReferrersPage(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:x"},{}]}`))
	f.Add([]byte(`{"manifests":[[[[]]],null,1,"x"]}`))
	f.Add([]byte(`{"manifests":null,"tags":["a","b",1]}`))
	f.Add([]byte(`{"manifests":[0,0,0,0,0,0],"tags":["","","","","",""]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var l referrerList
		n, err := l.add(&document{header: http.Header{}, body: body}, 5)
		if n > 5 || len(l.manifests) > 5 {
			t.Errorf("%d entries of 5", len(l.manifests))
		}
		l.pages++
		if index, joined := l.index(); err == nil && (joined != nil || !json.Valid(index)) {
			t.Errorf("%s: %v", index, joined)
		}
		var tags []string
		if n, _ := tagsOf(body, 5, &tags); n > 5 || len(tags) > n {
			t.Errorf("%d tags of %d entries", len(tags), n)
		}
	})
}

// What a 200 brings is a manifest with a type that can be a header's value, or none.
func FuzzManifestOfNoDigest(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), "application/json")
	f.Add([]byte(`{"errors":[{"code":"DENIED"}]}`), "")
	f.Add([]byte(`{"mediaType":"a/b\r\nX: y","config":null}`), "text/html;")
	f.Add([]byte("\x1f\x8b"), "x")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		if plausible(body) == nil && !json.Valid(body) {
			t.Error("no JSON")
		}
		if got := mediaType(http.Header{"Content-Type": {contentType}}, body); strings.ContainsAny(got, "\r\n ") ||
			!strings.Contains(got, "/") {
			t.Errorf("media type %q", got)
		}
	})
}

// Undoing a compression never gives more than the limit.
func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00"), "gzip")
	f.Add([]byte("{}"), "x-gzip")
	f.Fuzz(func(t *testing.T, data []byte, coding string) {
		if text, err := plain(http.Header{"Content-Encoding": {coding}}, data, 1<<10); err == nil &&
			len(text) > max(1<<10, len(data)) {
			t.Errorf("%d bytes became %d", len(data), len(text))
		}
	})
}
