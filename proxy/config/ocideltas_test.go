package config

import (
	"slices"
	"strings"
	"testing"
)

func TestOCIDeltasProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"oci_deltas: {back: [0]}":                         "repositories[0].oci_deltas.back: 0 is not among the 15 versions before",
		"oci_deltas: {back: [16]}":                        "oci_deltas.back: 16 is not among the 15 versions before",
		"keep_versions: 3, oci_deltas: {back: [3]}":       "oci_deltas.back: 3 is not among the 2 versions before",
		"oci_deltas: {back: [1, 2, 1]}":                   "oci_deltas.back: 1 is there twice: remove one",
		"oci_deltas: {back: [1,2,3,4,5,6,7,8,9]}":         "oci_deltas.back: has 9 entries, more than the limit of 8",
		"oci_deltas: {images: all}":                       `oci_deltas.images: "all" is not known: write served, upstream or both`,
		"oci_deltas: {format: bsdiff}":                    `oci_deltas.format: "bsdiff" is not known: write tar-diff-1`,
		"rechunk: never, oci_deltas: {back: [1]}":         "oci_deltas: is set with rechunk: never",
		"oci_deltas: {back: [1], image: served, more: 1}": "oci_deltas",
	} {
		_, _, err := parse("c.yml", []byte("repositories: [{match: '**', "+text+"}]\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestOCIDeltas(t *testing.T) {
	t.Parallel()
	c, _, err := parse("c.yml", []byte("repositories: [{match: '**', oci_deltas: {back: [1, 3], images: both}}]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Rule("ghcr.io/a/b").OCIDeltas
	if !slices.Equal(got.Back, []int{1, 3}) || got.Images != DeltaBoth || got.Format != DeltaTarDiff1 {
		t.Errorf("%+v", got)
	}
	if len(Default().Rule("ghcr.io/a/b").OCIDeltas.Back) > 0 {
		t.Error("artifacts are made unasked")
	}
}
