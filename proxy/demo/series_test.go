package demo

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testScale makes the series small.
const testScale = 0.02

// The series is the same on every run, and its versions differ in what they say they do.
func TestSeries(t *testing.T) {
	t.Parallel()
	series := releases()
	build := func(n int) (*filesystem, *built) {
		fs, err := filesystemOf(series, n, testScale)
		if err != nil {
			t.Fatal(err)
		}
		b, err := writeLayer(t.Context(), io.Discard, fs, series[n], func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		return fs, b
	}
	seen := map[string]bool{}
	for n, r := range series {
		fs, a := build(n)
		_, b := build(n)
		if diff := cmp.Diff(a.layer, b.layer); diff != "" {
			t.Errorf("version %s differs when it is made again:\n%s", r.tag, diff)
		}
		if seen[a.layer.Digest.String()] {
			t.Errorf("version %s is no new image", r.tag)
		}
		seen[a.layer.Digest.String()] = true
		if a.files < 2000 || a.files > 4000 || a.bytes != fs.bytes() {
			t.Errorf("version %s has %d files, %d bytes", r.tag, a.files, a.bytes)
		}
	}
}

func TestSeriesSize(t *testing.T) {
	t.Parallel()
	fs, err := filesystemOf(releases(), 0, DefaultScale)
	if err != nil {
		t.Fatal(err)
	}
	if n := fs.bytes(); n < 60e6 || n > 120e6 {
		t.Errorf("%d bytes", n)
	}
}

func TestFilesystemTakesAPathOnce(t *testing.T) {
	t.Parallel()
	fs := newFilesystem()
	fs.document("etc/x", "a")
	fs.document("etc/x", "b")
	if fs.err == nil {
		t.Error("a path was there twice")
	}
}
