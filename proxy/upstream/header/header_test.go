package header

import (
	"net/http"
	"strings"
	"testing"
	"time"
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
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || len(c.Params) > maxChallengeParams {
				t.Errorf("%+v", c)
			}
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
		if d := RetryAfter(value, now); d < 0 || d > MaxRetryAfter {
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
		r, ok := ContentRange(value)
		if ok && (r.First < 0 || r.Last < r.First || r.Last+1 < 0 || (r.Total != -1 && r.Last >= r.Total)) {
			t.Errorf("%q: %+v", value, r)
		}
	})
}

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Add("WWW-Authenticate", `Basic realm="legacy, really"`)
	h.Add("Www-Authenticate", `Negotiate, Bearer Realm="https://a.test/t?x=\"1\"" , scope = "repository:a:pull,push", service=reg`)
	ch, ok := PickChallenge(h)
	if !ok || ch.Scheme != "bearer" || ch.Params["realm"] != `https://a.test/t?x="1"` ||
		ch.Params["scope"] != "repository:a:pull,push" ||
		ch.Params["service"] != "reg" {
		t.Errorf("got %+v", ch)
	}
	if _, ok := PickChallenge(http.Header{"Www-Authenticate": {"Bearer service=x", "Negotiate"}}); ok {
		t.Error("a bearer challenge without realm was picked")
	}
}

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Range{
		"bytes 0-499/1234": {0, 499, 1234}, "bytes 5-5/*": {5, 5, -1}, "Bytes 0-0/1": {0, 0, 1},
	} {
		if got, ok := ContentRange(s); !ok || got != want {
			t.Errorf("%q: got %+v, %t", s, got, ok)
		}
	}
	for _, s := range []string{
		"", "bytes", "bytes */5", "bytes 5-4/9", "bytes 0-9/9", "bytes 0-9", "items 0-1/2", "bytes +0-1/2",
		"bytes 0-99999999999999999999/*",
	} {
		if got, ok := ContentRange(s); ok {
			t.Errorf("%q: got %+v", s, got)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n      int64
		window time.Duration
		ok     bool
	}{
		"100;w=21600":          {100, 6 * time.Hour, true},
		"76 ; w=60":            {76, time.Minute, true},
		"2000":                 {2000, 0, true},
		"100, 100;w=60":        {100, time.Minute, true},
		"":                     {0, 0, false},
		"many;w=60":            {0, time.Minute, false},
		"-1":                   {0, 0, false},
		"9999999999999999999":  {0, 0, false},
		"4000000000000000;w=x": {maxBudget, 0, true},
	} {
		n, window, ok := RateLimit(text)
		if n != want.n || window != want.window || ok != want.ok {
			t.Errorf("%q: %d, %s, %v", text, n, window, ok)
		}
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?last=b&n=1>; rel="next"`)
	f.Add(`<a>; rel=prev, <b>; title="x,y;z"; rel="first next"`)
	f.Add(`<a>;rel="next`)
	f.Add(`<<a>>;;rel=next`)
	f.Fuzz(func(t *testing.T, value string) {
		target, ok := NextLink(http.Header{"Link": {value}})
		if !ok && target != "" || !strings.Contains(value, target) || strings.Contains(target, ">") {
			t.Errorf("%q: %q", value, target)
		}
	})
}

func FuzzMediaType(f *testing.F) {
	f.Add("application/vnd.oci.image.index.v1+json; charset=utf-8")
	f.Add("a/b\r\nX: y")
	f.Add(";;")
	f.Fuzz(func(t *testing.T, value string) {
		mediaType := ContentType(http.Header{"Content-Type": {value}})
		if !ValidMediaType(mediaType) {
			return
		}
		if strings.ContainsAny(mediaType, " \t\r\n;,") || strings.Count(mediaType, "/") != 1 || len(mediaType) > 255 {
			t.Errorf("%q: %q", value, mediaType)
		}
	})
}

func FuzzRateLimit(f *testing.F) {
	f.Add("100;w=21600")
	f.Add("100, 100;w=60;w=1")
	f.Add(";w=")
	f.Fuzz(func(t *testing.T, value string) {
		if n, window, ok := RateLimit(value); ok && (n < 0 || n > maxBudget || window < 0) {
			t.Errorf("%q: %d in %s", value, n, window)
		}
	})
}
