package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be meant is refused by a line that says what to do.
func TestTrustProblems(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"signing: {key_file: a, key: b}":                                                                        "keep one",
		"signing: {password: x}":                                                                                "set key_file",
		"signing: {key_file: a, password: x, password_file: y}":                                                 "keep one",
		"signing: {names: [proxy.example]}":                                                                     "set signing.key_file",
		"signing: {next: {key_file: a}}":                                                                        "set signing.key_file",
		"signing: {key_file: a, names: [https://x]}":                                                            "no name of a proxy",
		"signing: {key_file: a, names: [x.y, x.y]}":                                                             "there twice",
		`repositories: [{match: "**", verify: {keys: [""]}}]`:                                                   "name a file",
		`repositories: [{match: "**", verify: {signed_as: ghcr.io/x}}]`:                                         "add one",
		`repositories: [{match: "**", verify: {keys: [a], signed_as: "x"}}]`:                                    "no repository",
		`repositories: [{match: "**", verify: {keyless: {identity: x}}}]`:                                       "whose identities",
		`repositories: [{match: "**", verify: {keyless: {issuer: x}}}]`:                                         "certificate's subject",
		`repositories: [{match: "**", verify: {keyless: {issuer: x, identity: y}}}]`:                            "trusted_root.json",
		`repositories: [{match: "**", verify: {keyless: {issuer: x, identity_pattern: "(", trusted_root: z}}}]`: "regular",
		`repositories: [{match: "**", noise: keep, verify: {keys: [a]}}]`:                                       "says nothing about: remove one",
		`repositories: [{match: "**", noise: some}]`:                                                            "serve",
		`repositories: [{match: "**", sign: all}]`:                                                              "unverified",
	} {
		_, _, err := parse("test.yml", []byte(file), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one line with %q", file, err, want)
		}
	}
}

// Paths are absolute, keys are found in the environment, and a second one is for rotations.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	c, _, err := parse("test.yml", []byte(`signing: {next: {key_file: b.key}}
repositories: [{match: "**", verify: {keys: [a.pub], keyless: {issuer: i, identity: j, trusted_root: root.json}}}]`),
		[]string{"STRATA_SIGNING_KEY_FILE=a.key", "STRATA_SIGNING_PASSWORD=secret"})
	if err != nil {
		t.Fatal(err)
	}
	all := c.Signing.Keys()
	if len(all) != 2 || !filepath.IsAbs(all[0].KeyFile) || filepath.Base(all[1].KeyFile) != "b.key" {
		t.Errorf("keys %v", all)
	}
	if p, err := all[0].ReadPassword(); err != nil || p.Reveal() != "secret" {
		t.Error(p, err)
	}
	rule := c.Rule("ghcr.io/x")
	if !rule.Verify.Enabled() || !filepath.IsAbs(rule.Verify.Keys[0]) || !filepath.IsAbs(rule.Verify.Keyless.TrustedRoot) {
		t.Errorf("verify %+v", rule.Verify)
	}
	if Default().Signing.Enabled() || DefaultRule().Verify.Enabled() {
		t.Error("on by default")
	}
}
