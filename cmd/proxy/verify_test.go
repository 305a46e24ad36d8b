package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/tree"
)

// What verify says begins with the outcome; each line after it fits a screen and shows what tells two values apart, and
// nothing that images say reaches the terminal as its control.
func TestVerificationLines(t *testing.T) {
	t.Parallel()
	long, digest := strings.Repeat("label ", 100), strings.Repeat("0a", 32)
	v := &oneshot.Verification{Differences: []tree.Difference{
		{Path: "etc/passwd", What: "content", A: "102400 bytes sha256:" + digest, B: "102401 bytes sha256:" + digest},
		{Path: "usr/bin/ping", What: "xattrs", A: "[" + long + "]", B: "[" + long + `security.capability="x"]`},
		{Path: "usr/lib/a", What: "target", A: "", B: long},
	}, Config: []image.Difference{
		{Field: "config.Labels.build", A: `"` + long + `one"`, B: `"` + long + `two"`},
		{Field: "config.Labels.\x1b[2J", A: "", B: "\"\u009b2J\""},
		{Field: "config.Env", A: "[\"" + long, B: strings.Repeat("é", 200)},
	}}
	var out bytes.Buffer
	printVerification(&streams{out: &out}, v, 0)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if lines[0] != "not the same: 1 content, 1 target, 1 xattrs, 3 in the config" || len(lines) != 7 {
		t.Fatalf("got\n%s", out.String())
	}
	for i, want := range []string{"102400 bytes sha256:0a0a0a0a0a0a != 102401 bytes sha256:", `security.capability="x"]`,
		" != label label", "one\" != …", `config.Labels.\u001b[2J: nothing != "\u009b2J"`, "…"} {
		if !strings.Contains(lines[i+1], want) {
			t.Errorf("%q lacks %q", lines[i+1], want)
		}
	}
	for _, l := range lines {
		if n := utf8.RuneCountInString(l); n > 200 || !utf8.ValidString(l) || strings.ContainsAny(l, "\x1b\u009b") {
			t.Errorf("a line of %d characters: %q", n, l)
		}
	}
	out.Reset()
	printVerification(&streams{out: &out}, &oneshot.Verification{Same: true}, 0)
	if out.String() != "the same filesystem\n" {
		t.Errorf("got %q", out.String())
	}
}
