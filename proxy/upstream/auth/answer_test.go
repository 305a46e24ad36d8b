package auth

import (
	"strings"
	"testing"
	"time"
)

func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{
		`{"token":"T","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}`,
		`{"access_token":"T","expires_in":"1e9","token":["x"]}`,
		`{"token":"a\r\nb","expires_in":-0.5}`, `{"expires_in":NaN}`, `{"errors":[{"code":"DENIED"}]}`, `[]`, `null`,
		`{"expires_in":1e999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := parseAnswer(body)
		if strings.ContainsAny(a.token, " \r\n\t\x00") {
			t.Errorf("token %q is no part of a header field", a.token)
		}
		if a.token != "" && (a.life < time.Second || a.life > maxLife || len(a.codes) > 0) {
			t.Errorf("%+v", a)
		}
	})
}
