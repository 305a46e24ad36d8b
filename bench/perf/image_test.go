package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/strata-oci/strata/rechunk/scan"
)

// read returns the contents of an image's files and the number of its layers.
func read(t *testing.T, l ociLayout, tag string) (files map[string]string, layers int) {
	t.Helper()
	m, err := l.manifest(tag)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, d := range m.Layers {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if err := derive(l.blob(d.Digest), func(*tar.Header) (*tar.Writer, error) { return w, nil }, nothing); err != nil {
			t.Fatal(err)
		}
		r := tar.NewReader(&out)
		for h, err := r.Next(); !errors.Is(err, io.EOF); h, err = r.Next() {
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				files[h.Name] = string(b)
			}
		}
	}
	return files, len(m.Layers)
}

func bytesOf(files map[string]string) (n int64) {
	for _, b := range files {
		n += int64(len(b))
	}
	return n
}

// changedBytes counts the bytes of files that differ; both images must have the same paths.
func changedBytes(t *testing.T, old, new map[string]string) (n int64) {
	t.Helper()
	if len(old) != len(new) {
		t.Fatalf("%d files became %d", len(old), len(new))
	}
	for path, b := range old {
		if now, ok := new[path]; !ok || len(now) != len(b) {
			t.Fatalf("%s is missing or has another length", path)
		} else if now != b {
			n += int64(len(b))
		}
	}
	return n
}

func synthetics(t *testing.T) (l ociLayout, layer string) {
	t.Helper()
	l = ociLayout(t.TempDir())
	for version, tag := range []string{"v0", "v1"} {
		if err := l.synthesize(tag, synthetic{entries: 1000, bytes: 8 * mib, version: version}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := l.manifest("v0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.blob(m.Layers[0].Digest)
}

// Invented images are of about the size asked for, compress like programs, and a version changes one package.
func TestSynthetic(t *testing.T) {
	t.Parallel()
	l, _ := synthetics(t)
	old, _ := read(t, l, "v0")
	new, _ := read(t, l, "v1")
	if n := bytesOf(old); n < 2*mib || n > 16*mib {
		t.Errorf("%d bytes instead of 8 MiB", n)
	}
	delete(old, "var/lib/dpkg/status")
	delete(new, "var/lib/dpkg/status")
	if n := changedBytes(t, old, new); n == 0 || n > bytesOf(old)/5 {
		t.Errorf("%d of %d bytes changed", n, bytesOf(old))
	}
	m, err := l.manifest("v0")
	if err != nil {
		t.Fatal(err)
	}
	if share := float64(m.Layers[0].Size) / float64(bytesOf(old)); share < 0.3 || share > 0.7 {
		t.Errorf("compressed to %.2f", share)
	}
	again := ociLayout(t.TempDir())
	if err := again.synthesize("v0", synthetic{entries: 1000, bytes: 8 * mib}); err != nil {
		t.Fatal(err)
	}
	same, err := again.manifest("v0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, same); diff != "" {
		t.Errorf("made twice, the image differs: %s", diff)
	}
}

func TestRepush(t *testing.T) {
	t.Parallel()
	l, layer := synthetics(t)
	if err := l.repush("next", layer, 0.05); err != nil {
		t.Fatal(err)
	}
	old, _ := read(t, l, "v0")
	new, n := read(t, l, "next")
	if n != 1 {
		t.Errorf("%d layers", n)
	}
	if share := float64(changedBytes(t, old, new)) / float64(bytesOf(old)); share < 0.04 || share > 0.05 {
		t.Errorf("%.3f of the bytes changed", share)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	l, layer := synthetics(t)
	if err := l.split("ten", "ten-next", layer); err != nil {
		t.Fatal(err)
	}
	whole, _ := read(t, l, "v0")
	old, n := read(t, l, "ten")
	new, _ := read(t, l, "ten-next")
	if diff := cmp.Diff(whole, old); diff != "" || n != parts {
		t.Errorf("%d layers, and other contents than the whole: %v", n, diff != "")
	}
	if n := changedBytes(t, old, new); n == 0 || n > bytesOf(old)/20 {
		t.Errorf("%d of %d bytes changed", n, bytesOf(old))
	}
	a, err := l.manifest("ten")
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.manifest("ten-next")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Layers[:parts-1], b.Layers[:parts-1]); diff != "" ||
		a.Layers[parts-1].Digest == b.Layers[parts-1].Digest {
		t.Errorf("not only the last layer differs: %s", diff)
	}
}

// What the harness makes is an image to Strata.
func TestSyntheticScans(t *testing.T) {
	t.Parallel()
	var blob bytes.Buffer
	z := gzip.NewWriter(&blob)
	if err := errors.Join((synthetic{entries: 100, bytes: mib}).write(z), z.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := scan.Layer(t.Context(), &blob, scan.Options{}); err != nil {
		t.Error(err)
	}
}
