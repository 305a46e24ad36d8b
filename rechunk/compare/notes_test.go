package compare_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-oci/strata/rechunk/compare"
)

// Notes say what changed, and nothing that an image holds is markup in them.
func TestNotes(t *testing.T) {
	t.Parallel()
	n := compare.Notes{
		From: "v1", To: "v2", LayerBytes: 46_000_000, DeltaBytes: 570_000, Estimated: true,
		Sent: map[string]compare.Sent{"rpm/bash": {Layers: 1_200_000, Deltas: 30_000},
			"initramfs": {Layers: 36_000_000, Deltas: 31_000}},
		News: &compare.News{
			Packages: []compare.PackageChange{
				{Name: "bash", Arch: "x86_64", From: "5.2-1", To: "5.3-1", Component: "rpm/bash"},
				{Name: "bash-doc", Arch: "noarch", To: "5.3-1", Component: "rpm/bash"},
				{Name: "e|v`il\n# x", From: "1"},
			},
			Unchanged: 400, Files: compare.FileCounts{Added: 1, Changed: 2, Removed: 3}, CVEs: []string{"CVE-2026-1234"},
			Sources: []compare.SourceChange{{Component: "rpm/bash", Name: "bash", From: "5.2-1", To: "5.3-1", More: 2,
				Log: []compare.LogEntry{
					{time.Unix(1_700_000_000, 0).UTC(), "A B <a@b> - 5.3-1",
						"- mends CVE-2026-1234\n\n# no heading\n<script>"}}}},
		},
	}
	var b strings.Builder
	if err := n.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	want := `# From ''v1'' to ''v2''

- Packages: 1 with another version, 1 new, 1 removed, 400 as before
- Files: 2 changed, 1 new, 3 removed
- To fetch: 46 MB in layers, 570 kB in deltas, estimated by what deltas of other layers took
- Named in changelogs: CVE-2026-1234

## Packages

| package | before | now | in layers | in deltas, estimated |
| --- | --- | --- | --- | --- |
| ''bash x86_64'' | ''5.2-1'' | ''5.3-1'' | 1.2 MB | 30 kB |
| ''bash-doc noarch'' |  | ''5.3-1'' |  |  |
| ''e\|v'il\n# x'' | ''1'' |  |  |  |

## Also fetched

| component | in layers | in deltas, estimated |
| --- | --- | --- |
| ''initramfs'' | 36 MB | 31 kB |

## ''bash'' ''5.3-1''

''A B <a@b> - 5.3-1'', 2023-11-14

    - mends CVE-2026-1234
    ` + `
    # no heading
    <script>

2 earlier entries are left out.
`
	if got := strings.ReplaceAll(b.String(), "`", "''"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An estimate that rests on no delta is not told: only what is known is.
func TestNotesWithoutDeltas(t *testing.T) {
	t.Parallel()
	n := compare.NotesOf("v1", "v2", &compare.News{}, &compare.Deltas{LayerBytes: 46_000_000, DeltaBytes: 46_000_000,
		Estimated: true, Components: []compare.DeltaComponent{{Component: "initramfs", LayerBytes: 36_000_000,
			DeltaBytes: 36_000_000}}})
	var b strings.Builder
	if err := n.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- To fetch: 46 MB in layers\n", "| `initramfs` | 36 MB |  |\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the notes lack %q:\n%s", want, b.String())
		}
	}
}
