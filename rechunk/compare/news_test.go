package compare_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// debianLog is a changelog of entries, the newest first: version and text each.
func debianLog(tb testing.TB, source string, entries ...[2]string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for i, e := range entries {
		fmt.Fprintf(w, "%s (%s) stable; urgency=medium\n\n  * %s\n\n -- A B <a@b.example>  %s\n\n", source, e[0], e[1],
			time.Unix(int64(1_700_000_000+1000*(len(entries)-i)), 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func paragraph(name, version, source string) string {
	p := "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\n"
	if source != "" {
		p += "Source: " + source + "\n"
	}
	return p + "\n"
}

// Packages that came, went and changed are told, with the entries of changelogs that are new and what they name.
func TestWhatIsNew(t *testing.T) {
	t.Parallel()
	old := [2]string{"2.41-12", "An old one, CVE-2020-0001."}
	before := []Item{
		Dir("."), File("var/lib/dpkg/status", paragraph("libc6", "2.41-12+b1", "glibc (2.41-12)")+
			paragraph("libc-bin", "2.41-12", "glibc")+paragraph("gone", "1", "")+paragraph("same", "3", "")+
			paragraph("linux-image-1", "1.0", "linux (1.0)")),
		File("usr/share/doc/libc6/changelog.Debian.gz", debianLog(t, "glibc", old)), File("a", "a"), File("b", "b"),
	}
	after := []Item{
		File("var/lib/dpkg/status", paragraph("libc6", "2.41-13", "glibc")+paragraph("libc-bin", "2.41-13", "glibc")+
			paragraph("come", "7", "")+paragraph("same", "3", "")+paragraph("linux-image-2", "2.0", "linux (2.0)")),
		File("usr/share/doc/libc6/changelog.Debian.gz", debianLog(t, "glibc",
			[2]string{"2.41-13", "Mends CVE-2026-12345 and CVE-2025-9999; CVE-2026-12345 again, NOCVE-2026-1111."}, old)),
		File("a", "A"), File("c", "c"), Whiteout("b"),
	}
	e := engine(t)
	n, err := compare.WhatIsNew(t.Context(), inspect(t, e, before), inspect(t, e, before, after))
	if err != nil {
		t.Fatal(err)
	}
	want := &compare.News{
		Packages: []compare.PackageChange{
			{"come", "amd64", "", "7", "dpkg/come"}, {"gone", "amd64", "1", "", "dpkg/gone"},
			{"libc-bin", "amd64", "2.41-12", "2.41-13", "dpkg/glibc"},
			{"libc6", "amd64", "2.41-12+b1", "2.41-13", "dpkg/glibc"},
			{"linux-image-1", "amd64", "1.0", "", "dpkg/linux"}, {"linux-image-2", "amd64", "", "2.0", "dpkg/linux"},
		},
		Unchanged: 1,
		Sources: []compare.SourceChange{
			{Component: "dpkg/come", Name: "come", To: "7"},
			{Component: "dpkg/glibc", Name: "glibc", From: "2.41-12", To: "2.41-13",
				CVEs: []string{"CVE-2025-9999", "CVE-2026-12345"},
				Log: []compare.LogEntry{{time.Unix(1_700_002_000, 0).UTC(), "glibc (2.41-13) stable; urgency=medium",
					"  * Mends CVE-2026-12345 and CVE-2025-9999; CVE-2026-12345 again, NOCVE-2026-1111."}}},
			{Component: "dpkg/gone", Name: "gone", From: "1"},
			{Component: "dpkg/linux", Name: "linux", From: "1.0", To: "2.0"},
		},
		CVEs:  []string{"CVE-2025-9999", "CVE-2026-12345"},
		Files: compare.FileCounts{Added: 1, Changed: 3, Removed: 1},
	}
	if diff := cmp.Diff(want, n, cmpopts.IgnoreFields(compare.News{}, "Warnings")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a, c, r := n.Count(); a != 2 || c != 2 || r != 2 {
		t.Errorf("%d came, %d changed, %d went", a, c, r)
	}
	n, err = compare.WhatIsNew(t.Context(), inspect(t, e, before), inspect(t, e, before))
	if err != nil || len(n.Packages)+len(n.Sources)+len(n.CVEs) != 0 || n.Files != (compare.FileCounts{}) ||
		n.Unchanged != 5 {
		t.Errorf("of itself: %+v, %v", n, err)
	}
}

// Rpm's database has the changelogs itself. Of a long one the newest are told, and all are read for identifiers; several
// versions of one package are told apart.
func TestWhatIsNewByRPM(t *testing.T) {
	t.Parallel()
	header := func(name, version string, entries int) []byte {
		var times []uint32
		var names, texts []string
		for i := entries; i > 0; i-- {
			times, names = append(times, uint32(1_600_000_000+i)), append(names, fmt.Sprintf("A B <a@b.example> - %d-1", i))
			texts = append(texts, fmt.Sprintf("- mends CVE-2025-%04d \xff", i))
		}
		return rpmtest.Header(rpmtest.Field{Tag: 1000, Value: name}, rpmtest.Field{Tag: 1001, Value: version},
			rpmtest.Field{Tag: 1002, Value: "1"}, rpmtest.Field{Tag: 1003, Value: []uint32{2}},
			rpmtest.Field{Tag: 1022, Value: "x86_64"}, rpmtest.Field{Tag: 1044, Value: name + "-" + version + "-1.src.rpm"},
			rpmtest.Field{Tag: 1080, Value: times}, rpmtest.Field{Tag: 1081, Value: names},
			rpmtest.Field{Tag: 1082, Value: texts})
	}
	image := func(headers ...[]byte) []Item {
		return []Item{Dir("."), File("usr/share/rpm/Packages.db", string(rpmtest.NDB(headers...)))}
	}
	e := engine(t)
	n, err := compare.WhatIsNew(t.Context(),
		inspect(t, e, image(header("bash", "5.2", 3), header("kernel", "6.1", 1), header("kernel", "6.2", 2))),
		inspect(t, e, image(header("bash", "5.3", 63), header("kernel", "6.2", 2), header("kernel", "6.3", 3))))
	if err != nil {
		t.Fatal(err)
	}
	want := []compare.PackageChange{
		{"bash", "x86_64", "2:5.2-1", "2:5.3-1", "rpm/bash"}, {"kernel", "x86_64", "2:6.1-1", "2:6.3-1", "rpm/kernel"},
	}
	if diff := cmp.Diff(want, n.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	bash := n.Sources[0]
	if len(bash.Log) != compare.MaxEntries || bash.More != 10 || len(bash.CVEs) != 60 || bash.CVEs[0] != "CVE-2025-0004" {
		t.Errorf("%d entries, %d more, %d identifiers from %s on", len(bash.Log), bash.More, len(bash.CVEs), bash.CVEs[0])
	}
	if e := bash.Log[0]; e.Title != "A B <a@b.example> - 63-1" || strings.ContainsRune(e.Text, 0xff) ||
		!strings.HasPrefix(e.Text, "- mends CVE-2025-0063") {
		t.Errorf("%+v", e)
	}
	if kernel := n.Sources[1]; kernel.From != "6.1-1, 6.2-1" || kernel.To != "6.2-1, 6.3-1" {
		t.Errorf("%+v", kernel)
	}
}
