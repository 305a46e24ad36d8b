package upstream

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
)

func FuzzChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"`)
	f.Add(`Basic realm="x", Bearer realm="https://a/\"t\"", error=invalid_token`)
	f.Add(`Negotiate, Basic`)
	f.Add(`Bearer realm=https://a.b/c?d=e,scope=`)
	f.Add(`Bearer realm="`)
	f.Fuzz(func(t *testing.T, value string) {
		all := parseChallenges(value)
		if len(all) > maxChallenges {
			t.Errorf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) || len(c.params) > maxChallengeParams {
				t.Errorf("%+v", c)
			}
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?last=b&n=1>; rel="next"`)
	f.Add(`<a>; rel=prev, <b>; title="x,y;z"; rel="first next"`)
	f.Add(`<//evil/>; rel=next`)
	f.Add(`<https://u:p@registry.test/>;rel=next`)
	at := &url.URL{Scheme: "https", Host: "registry.test", Path: "/v2/a/tags/list"}
	f.Fuzz(func(t *testing.T, value string) {
		next, err := nextPage(at, http.Header{"Link": {value}})
		if err == nil && next != nil && (!sameOrigin(next, at) || next.User != nil) {
			t.Errorf("leads to %s", next)
		}
	})
}

func FuzzRedirectTarget(f *testing.F) {
	f.Add("https://cdn.example/x?sig=1")
	f.Add("//cdn.example/x")
	f.Add("http:x")
	f.Add("https:///x")
	from := &url.URL{Scheme: "https", Host: "registry.test", Path: "/v2/"}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := redirectTarget(from, location)
		if err != nil {
			return
		}
		if to.Scheme != "https" || to.Hostname() == "" || to.User != nil || to.Fragment != "" {
			t.Errorf("leads to %s", to)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("-1")
	f.Add("99999999999999999999999999")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := parseRetryAfter(value, now); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %s", value, d)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-499/1234")
	f.Add("bytes 0-499/*")
	f.Add("bytes */1234")
	f.Add("bytes 9223372036854775807-9223372036854775807/*")
	f.Add("BYTES 5-4/3")
	f.Fuzz(func(t *testing.T, value string) {
		r, ok := parseContentRange(value)
		if ok && (r.first < 0 || r.last < r.first || r.last+1 < 0 || (r.total != -1 && r.last >= r.total)) {
			t.Errorf("%q: %+v", value, r)
		}
	})
}

func FuzzErrorDocument(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}`))
	f.Add([]byte(`{"errors":[{"code":"x y","message":5},{"code":"DENIED"}]}`))
	f.Add([]byte(`{"errors":{}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		doc := parseErrorDocument(body)
		if len(doc.codes) > maxErrorCodes {
			t.Errorf("%d codes", len(doc.codes))
		}
		for _, c := range doc.codes {
			if !validCode(c) {
				t.Errorf("code %q", c)
			}
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("no\r\nX: y https://u:hunter2@cdn/x?sig=hunter2#f", "hunter2")
	f.Add("\xff\xfe \u2028 eyJhbGciOiJSUzI1NiJ9.eyJz", "")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := clean(text, secret)
		if len(got) > maxMessage+2*len(hidden) {
			t.Errorf("%d bytes", len(got))
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("unprintable at %d: %q", i, got)
		}
	})
}

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Add("WWW-Authenticate", `Basic realm="legacy, really"`)
	h.Add("Www-Authenticate", `Negotiate, Bearer Realm="https://a.test/t?x=\"1\"" , scope = "repository:a:pull,push", service=reg`)
	ch, ok := pickChallenge(h)
	if !ok || ch.scheme != "bearer" || ch.params["realm"] != `https://a.test/t?x="1"` || ch.params["scope"] != "repository:a:pull,push" ||
		ch.params["service"] != "reg" {
		t.Errorf("got %+v", ch)
	}
	if _, ok := pickChallenge(http.Header{"Www-Authenticate": {"Bearer service=x", "Negotiate"}}); ok {
		t.Error("a bearer challenge without realm was picked")
	}
}

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]contentRange{
		"bytes 0-499/1234": {0, 499, 1234}, "bytes 5-5/*": {5, 5, -1}, "Bytes 0-0/1": {0, 0, 1},
	} {
		if got, ok := parseContentRange(s); !ok || got != want {
			t.Errorf("%q: got %+v, %t", s, got, ok)
		}
	}
	for _, s := range []string{
		"", "bytes", "bytes */5", "bytes 5-4/9", "bytes 0-9/9", "bytes 0-9", "items 0-1/2", "bytes +0-1/2", "bytes 0-99999999999999999999/*",
	} {
		if got, ok := parseContentRange(s); ok {
			t.Errorf("%q: got %+v", s, got)
		}
	}
}
