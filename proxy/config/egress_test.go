package config

import (
	"fmt"
	"strings"
	"testing"
)

// A proxy is an HTTP proxy, and its login is told to nobody.
func TestEgress(t *testing.T) {
	t.Parallel()
	for proxy, ok := range map[string]bool{
		"http://proxy.example:3128": true, "https://corp:s3cret@proxy.example": true, "none": true,
		"proxy.example:3128":            false,
		"socks5://s3cret@proxy.example": false, "http://corp:s3cret@": false, "http://x/s3cret": false,
		"http://s3cret%zz@x": false,
	} {
		c, _, err := parse("c.yml", fmt.Appendf(nil, "upstreams: {ghcr.io: {proxy: '%s'}}", proxy), nil)
		if (err == nil) != ok {
			t.Errorf("%s: %v", proxy, err)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "write http://")) {
			t.Errorf("%s: %v", proxy, err)
		}
		if err == nil && strings.Contains(fmt.Sprintf("%+v", c), "s3cret") {
			t.Error("it shows in a dump")
		}
	}
}
