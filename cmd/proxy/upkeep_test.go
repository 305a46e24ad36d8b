package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/upkeep"
)

// A dry run shows the largest of what nothing leads to, and how much more there is.
func TestPrintGC(t *testing.T) {
	t.Parallel()
	r := upkeep.GCReport{DryRun: true, Records: map[string]int64{"plan": 2}}
	for i := range 30 {
		c := upkeep.IdleContent{Digest: digest.FromString("a"), Bytes: 1e6, Goes: i > 0, Reason: "nothing leads to it"}
		r.Content = append(r.Content, c)
	}
	r.ContentLeftOut = 5
	var out bytes.Buffer
	if err := printGC(&out, r); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	d := digest.FromString("a").String()
	for i, want := range []string{"later     " + d + "  1.0 MB", "would go  " + d + "  1.0 MB"} {
		if !strings.HasPrefix(lines[i], want) || !strings.HasSuffix(lines[i], "nothing leads to it") {
			t.Errorf("line %q, want %q", lines[i], want)
		}
	}
	for _, want := range []string{"and 15 more objects: --json lists them", "2 records"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
