package config

import (
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/layer"
)

// The format of layers has an old name, and both may be there as long as they say the same.
func TestFormat(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]Format{
		"":                                  "zstd",
		"format: gzip":                      "gzip",
		"format: zstd:chunked":              Format(layer.Chunked),
		"compression: gzip":                 "gzip",
		"compression: zstd":                 "zstd",
		"format: gzip\n  compression: gzip": "gzip",
		"format: zstd:chunked\n  compression: gzip": "",
		"format: lz4":               "",
		"compression: zstd:chunked": "",
	} {
		c, warnings, err := parse("c.yml", []byte("repositories:\n- match: ghcr.io/a/b\n  "+rule+"\n"), nil)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken", rule)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", rule, err)
			continue
		}
		if got := c.Rule("ghcr.io/a/b").Format; got != want {
			t.Errorf("%q: %s, want %s", rule, got, want)
		}
		if told := strings.Contains(strings.Join(warnings, "\n"), "composefs"); told != (want == Format(layer.Chunked)) {
			t.Errorf("%q: warnings %q", rule, warnings)
		}
	}
	if got := DefaultRule().Format; got != "zstd" {
		t.Errorf("%s by default", got)
	}
}
