package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Of an image with two damaged databases, hundreds of packages each, the log has a line for each of the two, and so have
// reports of updates.
func TestDamagedDatabases(t *testing.T) {
	t.Parallel()
	var status strings.Builder
	items := []Item{Dir(".")}
	for i := range 300 {
		fmt.Fprintf(&status, "Package: p%d\u202e\nStatus: install ok installed\n\n", i)
		items = append(items, File(fmt.Sprintf("var/lib/pacman/local/q%d-1/desc", i), "%NAME%\nq\n"))
	}
	items = append(items, File("var/lib/dpkg/status", status.String()))
	var log bytes.Buffer
	store := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	o := rechunk.Options{MaxLayers: 20, MaxStale: 0.2, Format: layer.Zstd, Versions: 4}
	if _, err := e.Rechunk(t.Context(), source(t, items).Request("os", o)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	for _, want := range []string{"database=dpkg", "database=alpm", "more=299"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log.String())
		}
	}
	n, err := compare.WhatIsNew(t.Context(), inspect(t, e, []Item{Dir("."), items[len(items)-1]}), inspect(t, e, items))
	if err != nil || len(n.Warnings) != 3 {
		t.Fatalf("%q, %v", n.Warnings, err)
	}
	for i, want := range []string{"dpkg: ", "alpm: ", "the image before: dpkg: "} {
		if got := n.Warnings[i]; !strings.HasPrefix(got, want) || !strings.Contains(got, "and 299 more warnings of ") {
			t.Errorf("%q, want %s…", got, want)
		}
	}
	document, err := json.Marshal(n)
	if err != nil || len(document) > 4096 {
		t.Errorf("a document of %d bytes: %v", len(document), err)
	}
	var notes strings.Builder
	if err := compare.NotesOf("a", "b", n, &compare.Deltas{}).Markdown(&notes); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(notes.String(), "- Package database damaged: `"); got != 3 {
		t.Errorf("%d lines of:\n%s", got, notes.String())
	}
}
