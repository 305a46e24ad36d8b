package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/proxy/oneshot"
)

// invented is a history of three releases: the first update changes one package, the second adds one and moves the kernel.
func invented() (*history.Corpus, []history.Release) {
	c := history.New()
	c.Size["kernel"] = 400 << 10
	var out []history.Release
	for n, packages := range []map[string]string{
		{"kernel": "6.1-1.fc40.x86_64", "glibc": "2.39-1.fc40.x86_64", "vim": "2:9.1-1.fc40.x86_64",
			"zlib": "1.3-1.fc40.x86_64"},
		{"kernel": "6.1-1.fc40.x86_64", "glibc": "2.39-1.fc40.x86_64", "vim": "2:9.1-2.fc40.x86_64",
			"zlib": "1.3-1.fc40.x86_64"},
		{"kernel": "6.2-1.fc40.x86_64", "glibc": "2.39-1.fc40.x86_64", "vim": "2:9.1-2.fc40.x86_64",
			"zlib": "1.3-1.fc40.x86_64", "jq": "1-1.fc40.x86_64"},
	} {
		r := history.Release{Date: time.Unix(1_700_000_000+int64(n)*7*day, 0).UTC(), Packages: packages}
		c.Branches["b"] = append(c.Branches["b"], r)
		out = append(out, r)
	}
	c.Updates["vim"] = []int64{out[1].Date.Unix()}
	return c, out
}

func TestHistoryImages(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c, releases := invented()
	s := &series{name: "invented", dir: t.TempDir(), scale: 0.01}
	s.make = func(ctx context.Context, dir string) error { return writeHistory(ctx, dir, c, releases, 0.01) }
	if err := s.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"v01-2023-11-14", "v02-2023-11-21", "v03-2023-11-28"}, s.tags); d != "" {
		t.Fatal(d)
	}
	i, err := oneshot.NewInspector(ctx, oneshot.Options{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	var got []string
	for _, tag := range s.tags {
		v, err := open(ctx, i, s, tag, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if len(v.in.Owners.Warnings) > 0 {
			t.Errorf("%s: %q", tag, v.in.Owners.Warnings)
		}
		var names []string
		for _, p := range v.packages {
			names = append(names, fmt.Sprintf("%s %d", p.name, len(p.changes)))
		}
		got = append(got, strings.Join(append(names, v.kernel()), ", "))
		if err := v.in.Close(); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"glibc 0, kernel 0, vim 0, zlib 0, 6.1-1.fc40.x86_64", "glibc 0, kernel 0, vim 1, zlib 0, 6.1-1.fc40.x86_64",
		"glibc 0, jq 0, kernel 0, vim 1, zlib 0, 6.2-1.fc40.x86_64",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRun measures an invented history with the real program, and checks what must hold of every result.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the strata program")
	}
	t.Parallel()
	ctx := context.Background()
	dir, results := t.TempDir(), filepath.Join(t.TempDir(), "r.json")
	c, releases := invented()
	if err := writeHistory(ctx, filepath.Join(dir, "some", "rpm"), c, releases, 0.01); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(ctx, []string{"-images", dir, "-chunkah", "no-such-program", "-layers", "16", "-peer-layers", "16", "-json",
		results,
		"-work", t.TempDir()}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"skipped: chunkah", "skipped: history", "some rpm, step by step",
		"hhd-dev/rechunk's packing"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, out.String())
		}
	}
	b, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil || len(r.Series) != 1 {
		t.Fatalf("%v: %s", err, b)
	}
	check(t, r.Series[0])
}

func check(t *testing.T, s *seriesResult) {
	t.Helper()
	for _, p := range s.Programs {
		for l := range lags {
			if s.Floor[l] > 0 && float64(p.Ours[l]) < 0.98*float64(s.Floor[l]) {
				t.Errorf("%s sends %d with our encoder, which is below the floor of %d", p.Name, p.Ours[l], s.Floor[l])
			}
		}
		if p.FreshOwn < p.Own[0]/2 || p.FreshOurs == 0 || p.Own[0] == 0 {
			t.Errorf("%s: %+v", p.Name, p)
		}
		if p.Layers > 0 && p.LayersUsed > float64(p.Layers) {
			t.Errorf("%s has %.1f of %d layers", p.Name, p.LayersUsed, p.Layers)
		}
	}
	if len(s.Programs) != 5 || s.Floor[2] != 0 {
		t.Errorf("%d programs, floor %v", len(s.Programs), s.Floor)
	}
}

func TestFillerCompressesAsWanted(t *testing.T) {
	t.Parallel()
	for _, want := range []float64{0.25, 0.38, 0.6, 1} {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		if err != nil {
			t.Fatal(err)
		}
		const size = 3<<20 + 17
		n := &counter0{w: z}
		if err := newFiller().write(n, size, want, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if got := float64(b.Len()) / size; got < want-0.06 || got > want+0.06 || n.n != size {
			t.Errorf("%d bytes compress to %.3f, %.2f wanted", n.n, got, want)
		}
	}
}

type counter0 struct {
	w io.Writer
	n int
}

func (c *counter0) Write(p []byte) (int, error) {
	c.n += len(p)
	return c.w.Write(p)
}

func TestSplitEVRA(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1:1.16.4-1.fc30.x86_64": "1 1.16.4 1.fc30 x86_64", "2018.06-3.fc30.noarch": "0 2018.06 3.fc30 noarch",
		"odd": "0 odd  ",
	} {
		epoch, version, release, arch := splitEVRA(in)
		if got := fmt.Sprint(epoch, " ", version, " ", release, " ", arch); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"": "nothing to measure", "-images x y": "unexpected argument", "-images /nonexistent -layers 64,x": `"x"`,
		"-images /nonexistent -peer-layers 3": `"3"`,
	} {
		err := run(context.Background(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}
