package upstream

import (
	"strings"
	"testing"
	"unicode"
)

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
		got := Clean(text, secret)
		if len(got) > maxMessage+2*len(hidden) {
			t.Errorf("%d bytes", len(got))
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("unprintable at %d: %q", i, got)
		}
	})
}
