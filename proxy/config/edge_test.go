package config

import (
	"strings"
	"testing"
	"time"
)

func TestEdgeProblems(t *testing.T) {
	t.Parallel()
	const host = "upstreams: {ghcr.io: {"
	digest := "sha256:" + strings.Repeat("a", 64)
	for text, want := range map[string]string{
		host + "via: 'https://c.example', url: 'https://ghcr.io'}}": "upstreams.ghcr.io.via: is set together with url: keep via for another Strata",
		host + "via: c.example}}":                                   `upstreams.ghcr.io.via: "c.example" starts with neither https:// nor http://`,
		host + "via: 'http://c.example'}}":                          `upstreams.ghcr.io.via: "http://c.example" is not encrypted`,
		host + "via: 'https://a:hunter2@c'}}":                       "upstreams.ghcr.io.via: has a user name in it",
		host + "via: 'https://c.example/v2'}}":                      `upstreams.ghcr.io.via: "https://c.example/v2" has more than scheme and host`,
		host + "via: 'https://'}}":                                  "names no host: write one such as https://strata.example",
		host + `via: "https://%zz"}}`:                               "upstreams.ghcr.io.via: is no URL: write one such as https://strata.example",
		"seeds: [{}]":                                               "seeds[0]: names no files: write store: true",
		"seeds: [{store: true, root: /}]":                           "seeds[0]: is both store and root",
		"seeds: [{store: true, image: " + digest + "}]":             "seeds[0].image: is set without root",
		"seeds: [{root: /, image: latest}]":                         `seeds[0].image: "latest" is no digest of a manifest`,
		"seeds: [{root: /}, {root: /}]":                             "seeds[1]: is there twice",
		"seeds: [" + strings.Repeat("{store: true},", 9) + "]":      "seeds: has 9 entries, more than the limit of 8",
		"deltas: {wait: -1s}":                                       "deltas.wait: -1s is negative",
		"deltas: {cpu: -1}":                                         "deltas.cpu: -1 is out of range: write 0 to 256",
		"deltas: {queue: 0}":                                        "deltas.queue: 0 is out of range: write 1 to 100000",
		"deltas: {memory: 1MiB}": "deltas.memory: is 1MiB, less than the least of 64MiB: write 512MiB, or cpu: 0 to make no " +
			"deltas",
		"deltas: {keep: -1}":      "deltas.keep: ",
		"deltas: {prefer: money}": `deltas.prefer: "money" is not known: write time or bytes`,
	} {
		_, _, err := parse("c.yml", []byte(text), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestEdge(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("c.yml", []byte("upstreams: {ghcr.io: {via: 'http://127.0.0.1:9/', insecure: true}, quay.io: {}}\n"+
		"seeds: [{root: x/..}]\nrepositories: [{match: '**', rechunk: always}]\n"), []string{"STRATA_DELTAS_WAIT=5s",
		"STRATA_DELTAS_PREFER=bytes"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if !c.Via("ghcr.io") || c.Via("quay.io") || c.Via("docker.io") || !c.Edge() || c.KeepsLayers() || Default().Edge() ||
		!Default().KeepsLayers() {
		t.Error("which hosts are behind another Strata, and whether layers stay, is wrong")
	}
	if up := c.Upstream("ghcr.io"); up.URL != "http://127.0.0.1:9" {
		t.Errorf("the way to the other Strata is %s", up.URL)
	}
	if c.Rule("ghcr.io/a/b").Rechunk != RechunkNever || c.Rule("quay.io/a/b").Rechunk != RechunkAlways {
		t.Error("what comes from another Strata is rechunked again, or what doesn't is not")
	}
	if c.Seeds[0].Root != abs(t, ".") || time.Duration(c.Deltas.Wait) != 5*time.Second || c.Deltas.Prefer != PreferBytes {
		t.Errorf("seeds %+v, deltas %+v", c.Seeds, c.Deltas)
	}
}
