package transport

import (
	"net/url"
	"testing"
)

func FuzzRedirectTarget(f *testing.F) {
	f.Add("https://cdn.example/x?sig=1")
	f.Add("//cdn.example/x")
	f.Add("http:x")
	f.Add("https:///x")
	from := &url.URL{Scheme: "https", Host: "registry.test", Path: "/v2/"}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := RedirectTarget(from, location)
		if err != nil {
			return
		}
		if to.Scheme != "https" || to.Hostname() == "" || to.User != nil || to.Fragment != "" {
			t.Errorf("leads to %s", to)
		}
	})
}
