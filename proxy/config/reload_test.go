package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNeedsRestart(t *testing.T) {
	t.Parallel()
	before, _, err := parse("c.yml", []byte("log: {level: debug}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"log: {level: debug}":                                 nil,
		"log: {level: error}\nshutdown_timeout: 1s":           nil,
		"upstreams: {ghcr.io: {}}":                            nil,
		"upstreams: {quay.io: {}}\ndefault_upstream: ghcr.io": nil,
		// it closes the usual one
		"upstreams: {quay.io: {}}":                                            {"default_upstream"},
		"upstreams: {quay.io: {via: 'https://c.example'}, ghcr.io: {}}":       {"upstreams.quay.io.via"},
		"access: {htpasswd_file: f}":                                          nil,
		"repositories: [{match: quay.io}]":                                    nil,
		"gc: {interval: 1h, grace: 1h, keep_pulled: 1h}\nquota: 1GiB":         nil,
		"scrub: {interval: 0, rate: 1MiB, keep_damaged: 1h}":                  nil,
		"limits: {connections: 1, body_bytes: 0}":                             nil,
		"admin: {token: 0123456789abcdef}":                                    nil,
		"listen: 127.0.0.1:1\nadmin: {listen: ':2', insecure: true}\njobs: 2": {"admin.listen", "jobs", "listen"},
		"storage: {inmemory: {}}":                                             {"storage"},
		"storage: {filesystem: {rootdirectory: /x}}":                          {"storage"},
		"log: {format: json}":                                                 {"log.format"},
		"limits: {header_bytes: 8KiB}":                                        {"limits.header_bytes"},
		"tls: {cert_file: a, key_file: b}":                                    {"tls.cert_file"},
		"admin: {tls: {cert_file: a, key_file: b}}":                           {"admin.tls.cert_file"},
		"work_dir: /w\ndefault_upstream: quay.io":                             {"default_upstream", "work_dir"},
	} {
		next, _, err := parse("c.yml", []byte(text), nil)
		if err != nil {
			t.Fatal(text, err)
		}
		if diff := cmp.Diff(want, before.NeedsRestart(next)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
	}
}

// A key that reload takes over is one that exists.
func TestReloadableKeysExist(t *testing.T) {
	t.Parallel()
	origins, problems := decode("config.example.yml", uncomment(readExample(t)), Default())
	if len(problems) > 0 {
		t.Fatal(&Error{problems})
	}
	for _, key := range reloadable() {
		if origins[key] == "" {
			t.Errorf("there is no key %s", key)
		}
	}
}
