package alpm

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

const (
	desc  = "%NAME%\ngcc-libs\n\n%VERSION%\n14.2.1-1\n\n%BASE%\ngcc\n\n%BUILDDATE%\n1720000000\n\n%INSTALLDATE%\n1730000000\n"
	files = "%FILES%\nusr/\nusr/lib/\nusr/lib/libgcc_s.so.1\n\n%BACKUP%\netc/x\t0123\n"
)

func read(t *testing.T, in treetest.Files) (*treetest.Sink, error) {
	t.Helper()
	tr, c := treetest.New(in)
	s := &treetest.Sink{}
	err := Read(t.Context(), rootfs.New(tr, c), s)
	return s, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"default":    "var/lib/pacman/local",
		"ostree":     "usr/lib/sysimage/lib/pacman/local",
		"configured": "opt/pacman/local",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pkg := dir + "/gcc-libs-14.2.1-1/"
			s, err := read(t, treetest.Files{
				"etc/pacman.conf": "[options]\n#DBPath = /no\nDBPath = /opt/pacman/\n", dir + "/ALPM_DB_VERSION": "9\n",
				pkg + "desc": desc, pkg + "files": files,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []treetest.Package{{
				Name: "gcc-libs", Source: "gcc", Version: "14.2.1-1", BuildTime: 1720000000,
				Files: []installed.File{
					{Path: "usr", Kind: tree.Dir}, {Path: "usr/lib", Kind: tree.Dir}, {Path: "usr/lib/libgcc_s.so.1"},
					{Path: pkg + "files", Kind: tree.Regular}, {Path: pkg + "mtree", Kind: tree.Regular},
					{Path: pkg + "install", Kind: tree.Regular}, {Path: pkg + "changelog", Kind: tree.Regular},
				},
			}}
			if diff := cmp.Diff(want, s.Packages); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadDamagedPackages(t *testing.T) {
	t.Parallel()
	const dir = "var/lib/pacman/local/"
	s, err := read(t, treetest.Files{
		dir + "a/desc": "%NAME%\na\n", dir + "a/files": "%FILES%\nx\n",
		dir + "no-files/desc": desc,
		dir + "no-name/desc":  "%VERSION%\n1\n", dir + "no-name/files": "",
		dir + "huge/desc":      treetest.Sized(1 << 40),
		dir + "long-name/desc": "%NAME%\n" + strings.Repeat("x", 256), dir + "long-name/files": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 1 || s.Packages[0].Name != "a" || s.Packages[0].Source != "a" {
		t.Errorf("packages: %v", s.Packages)
	}
	if len(s.Warnings) != 4 {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	tr, c := treetest.New(treetest.Files{"var/lib/pacman/local/a/desc": desc, "var/lib/pacman/local/a/files": files})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, rootfs.New(tr, c), &treetest.Sink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := Read(t.Context(), rootfs.New(tr, treetest.Contents{}), &treetest.Sink{}); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("contents gone: %v", err)
	}
}

func FuzzDesc(f *testing.F) {
	f.Add(desc)
	f.Add("%%\n%NAME%\n\n%NAME%\n%BASE%\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseDesc(strings.NewReader(text))
		if err == nil && (p.Name == "" || p.Source == "" || len(p.Source) > installed.MaxName) {
			t.Errorf("package %q of source %q", p.Name, p.Source)
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add(files)
	f.Add("%FILES%\n/\n//\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := parseFiles(strings.NewReader(text), func(f *installed.File) error {
			if len(f.Path) > installed.MaxPath {
				t.Errorf("path of %d bytes", len(f.Path))
			}
			return nil
		})
		if err != nil && !errors.Is(err, installed.ErrDamaged) {
			t.Error(err)
		}
	})
}

func FuzzConf(f *testing.F) {
	f.Add("DBPath = /a/\n")
	f.Fuzz(func(t *testing.T, text string) {
		if dir := parseConf(text); strings.HasSuffix(dir, "/") {
			t.Errorf("directory %q", dir)
		}
	})
}
