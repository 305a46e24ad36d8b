package apk

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const database = `C:Q1abc=
P:musl-utils
V:1.2.5-r0
A:x86_64
o:musl
t:1714000000
F:sbin
M:0:0:755
R:ldconfig
a:0:0:755
Z:Q1abc=
F:usr
F:usr/bin
R:ldd

P:alpine-baselayout
V:3.6-r0
t:soon
F:
R:motd
`

func read(t *testing.T, text any) (*treetest.Sink, error) {
	t.Helper()
	tr, c := treetest.New(treetest.Files{"lib": treetest.Link("usr/lib"), "usr/lib/apk/db/installed": text})
	s := &treetest.Sink{}
	err := Read(t.Context(), rootfs.New(tr, c), s)
	return s, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	s, err := read(t, database)
	if err != nil {
		t.Fatal(err)
	}
	want := []treetest.Package{
		{Name: "musl-utils", Source: "musl", Version: "1.2.5-r0", BuildTime: 1714000000, Files: []installed.File{
			{Path: "sbin", Kind: tree.Dir}, {Path: "sbin/ldconfig"}, {Path: "usr", Kind: tree.Dir},
			{Path: "usr/bin", Kind: tree.Dir}, {Path: "usr/bin/ldd"},
		}},
		{Name: "alpine-baselayout", Source: "alpine-baselayout", Version: "3.6-r0", Files: []installed.File{
			{Path: "", Kind: tree.Dir}, {Path: "/motd"},
		}},
	}
	if diff := cmp.Diff(want, s.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestReadDamaged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text     any
		packages int
	}{
		"no field":  {"P:a\n\nnonsense\n", 1},
		"long line": {"P:a\n\nP:" + strings.Repeat("x", 2<<20), 1},
		"long name": {"P:" + strings.Repeat("x", 256) + "\n", 0},
		"long path": {"P:a\nF:" + strings.Repeat("x", 4000) + "\nR:" + strings.Repeat("y", 100) + "\n", 1},
		"too large": {treetest.Sized(1 << 40), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := read(t, tc.text)
			if !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("error %v, want damage", err)
			}
			if len(s.Packages) != tc.packages {
				t.Errorf("%d packages, want %d", len(s.Packages), tc.packages)
			}
		})
	}
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	tr, c := treetest.New(treetest.Files{"lib/apk/db/installed": database})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, rootfs.New(tr, c), &treetest.Sink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := Read(t.Context(), rootfs.New(tr, treetest.Contents{}), &treetest.Sink{}); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("contents gone: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(database)
	f.Add("P:a\nR:x\n\n\nF:b\nR:c\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := &treetest.Sink{}
		_ = parse(strings.NewReader(text), s)
		for _, p := range s.Packages {
			if p.Name == "" || p.Source == "" || len(p.Source) > installed.MaxName {
				t.Errorf("package %q of source %q", p.Name, p.Source)
			}
			for _, f := range p.Files {
				if len(f.Path) > installed.MaxPath {
					t.Errorf("path of %d bytes", len(f.Path))
				}
			}
		}
	})
}
