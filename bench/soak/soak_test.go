package main

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"
)

// A short soak: it must find nothing broken, and clients must have pulled.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	var out bytes.Buffer
	err := run(t.Context(), options{duration: 6 * time.Second, seed: 7, clients: 4, replicas: 1, tags: 2, quota: "128MiB",
		keep: t.TempDir()}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"image: pulled and the same", "end: image verified", "tag moved on"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q did not happen:\n%s", want, &out)
		}
	}
}

// What the soak takes for right comes from the image as it was made, not from what was served.
func TestFlattenedImageIsItsListing(t *testing.T) {
	t.Parallel()
	s := system{name: "test"}
	s.versions[3] = 9
	img, holds, err := s.image()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []layerHolds
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		holds, err := readLayer(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, holds)
	}
	if !maps.Equal(flatten(all), holds) {
		t.Error("the image holds something else than its listing says")
	}
	all = append(all, layerHolds{files: listing{}, hidden: []string{"usr/lib/package-03"}})
	if n := len(holds) - len(flatten(all)); n != filesPerPackage {
		t.Errorf("a whiteout of a directory hides %d files", n)
	}
}

func TestReplicasNeedSharedStorage(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), options{replicas: 2}, nil); err == nil || !strings.Contains(err.Error(), "-s3") {
		t.Errorf("two replicas on one directory: %v", err)
	}
}
