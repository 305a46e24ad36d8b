package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk/legible"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// What packages say of themselves shows as what it is in all that strata compare prints, and damaged databases are told.
func TestCompareShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	const trick = "\u202egnp.exe\u202c\x1b[2J\u200b"
	dir := t.TempDir()
	version := func(n int) string {
		status := fmt.Sprintf("Package: evil%s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %d%s\n\n", trick, n,
			trick)
		for i := range 200 {
			status += fmt.Sprintf("Package: broken%d%s\nStatus: install ok installed\n\n", i, trick)
		}
		items := []treetest.Item{treetest.File("var/lib/dpkg/status", status), treetest.File("var/lib/dpkg/info/x.list", "/a\n"),
			treetest.File("usr/bin/a"+trick, fmt.Sprint(n)).WithXattr("user.component", "comp"+trick)}
		for i := range 200 {
			items = append(items, treetest.File(fmt.Sprintf("var/lib/pacman/local/q%d-1/desc", i), "%NAME%\nq"+trick+"\n"))
		}
		ref := fmt.Sprintf("oci:%s/%d:1", dir, n)
		imagetest.Image{Layers: [][]treetest.Item{items}}.Write(t, ref)
		return ref
	}
	old, next := version(1), version(2)
	for _, flags := range []string{"--all", "--notes", "--json", "--deltas"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"compare", flags, old, next}, &streams{out: &out, err: &errs}); code != exitDone {
			t.Fatalf("%s: exit code %d: %s", flags, code, errs.String())
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if !legible.Plain(line) {
				t.Errorf("%s: %q", flags, line)
			}
		}
		for _, database := range []string{"dpkg", "alpm"} {
			if !strings.Contains(out.String(), "more warnings of "+database) {
				t.Errorf("%s does not tell that the database of %s is damaged:\n%s", flags, database, out.String())
			}
		}
		if flags == "--notes" && !strings.Contains(out.String(), "evil") {
			t.Errorf("%s", out.String())
		}
	}
}
