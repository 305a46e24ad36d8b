package dpkg_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/dpkg"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const status = `Package: libc6
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1
Description: GNU C Library
 Status: not a field
 .
 Package: neither

package: dash
status: install ok installed
Architecture: amd64
Version: 0.5.12-12

Package: gone
Status: purge ok not-installed
Architecture: amd64
`

const changelog = `glibc (2.41-12) unstable; urgency=medium

  * New.

 -- A B <a@example.org>  Sat, 12 Jul 2025 10:00:00 +0200

glibc (2.41-11) unstable; urgency=medium

 -- A B <a@example.org>  Tue,  1 Jul 2025 10:00:00 +0000 (UTC)

 -- nonsense
 -- A B <a@example.org>  Sometime
`

func compress(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.Bytes()
}

func read(t *testing.T, files treetest.Files) (*treetest.Sink, error) {
	t.Helper()
	tr, c := treetest.New(files)
	s := &treetest.Sink{}
	err := dpkg.Read(t.Context(), rootfs.New(tr, c), s)
	return s, err
}

func debian() treetest.Files {
	return treetest.Files{
		"var/lib/dpkg/status":                            status,
		"var/lib/dpkg/diversions":                        "/bin/sh\n/bin/sh.distrib\ndash\n/lib/x\n/lib/x.orig\n:\n",
		"var/lib/dpkg/info/libc6:amd64.list":             "/.\n/lib\n/lib/x\n/bin/sh\n/usr/share\n/usr/share/doc\n",
		"var/lib/dpkg/info/libc6:amd64.md5sums":          "",
		"var/lib/dpkg/info/dash.list":                    "/.\n/bin/sh\n",
		"var/lib/dpkg/info/format":                       "1\n",
		"usr/share/doc/libc6/changelog.Debian.gz":        compress(changelog),
		"usr/share/doc/libc6/changelog.Debian.amd64.gz":  compress(strings.ReplaceAll(changelog, "12 Jul", "13 Jul")),
		"usr/share/doc/libc6/changelog.gz":               compress(strings.ReplaceAll(changelog, "12 Jul", "14 Jul")),
		"usr/share/doc/dash":                             treetest.Link("libc6"),
		"var/lib/dpkg/info/not-in-status.list":           "/etc\n",
		"var/lib/dpkg/info/gone.list":                    "/etc\n",
		"var/lib/dpkg/status.d/none-of-dpkg's-own-files": "",
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	s, err := read(t, debian())
	if err != nil {
		t.Fatal(err)
	}
	times := []int64{1752393600, 1752307200, 1751364000}
	want := []treetest.Package{
		{Name: "libc6", Source: "glibc", Version: "2.41-12", Changes: times, Files: []installed.File{
			{Path: "/lib", Kind: tree.Dir}, {Path: "/lib/x.orig"}, {Path: "/bin/sh.distrib"},
			{Path: "/usr/share", Kind: tree.Dir}, {Path: "/usr/share/doc"},
			{Path: "var/lib/dpkg/info/libc6:amd64.list", Kind: tree.Regular},
			{Path: "var/lib/dpkg/info/libc6:amd64.md5sums", Kind: tree.Regular},
		}},
		{Name: "dash", Source: "dash", Version: "0.5.12-12", Changes: times, Files: []installed.File{
			{Path: "/bin/sh"}, {Path: "var/lib/dpkg/info/dash.list", Kind: tree.Regular},
		}},
	}
	if diff := cmp.Diff(want, s.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if len(s.Warnings) > 0 {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

func TestReadDistroless(t *testing.T) {
	t.Parallel()
	s, err := read(t, treetest.Files{
		"var/lib/dpkg/status.d/libc6":         "Package: libc6\nVersion: 2.41-12\nSource: glibc\nArchitecture: amd64\n",
		"var/lib/dpkg/status.d/libc6.md5sums": "0123  usr/lib/libc.so.6\nbroken\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []treetest.Package{{Name: "libc6", Source: "glibc", Version: "2.41-12", Files: []installed.File{
		{Path: "usr/lib/libc.so.6", Kind: tree.Regular},
		{Path: "var/lib/dpkg/status.d/libc6", Kind: tree.Regular},
		{Path: "var/lib/dpkg/status.d/libc6.md5sums", Kind: tree.Regular},
	}}}
	if diff := cmp.Diff(want, s.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestReadDamaged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files    treetest.Files
		damaged  bool
		packages int
		warnings int
	}{
		"nothing":      {files: treetest.Files{"etc": treetest.Dir{}}},
		"empty status": {files: treetest.Files{"var/lib/dpkg/status": ""}},
		"no list": {files: treetest.Files{"var/lib/dpkg/status": "Package: a\nStatus: install ok installed\n"},
			packages: 1, warnings: 1},
		"long line": {files: treetest.Files{"var/lib/dpkg/status": "Package: a\n\nDepends: " +
			strings.Repeat("x", 2<<20)}, damaged: true, packages: 1, warnings: 1},
		"too large":         {files: treetest.Files{"var/lib/dpkg/status": treetest.Sized(1 << 40)}, damaged: true},
		"name with a slash": {files: treetest.Files{"var/lib/dpkg/status": "Package: ../a\n"}, warnings: 1},
		"name of dots":      {files: treetest.Files{"var/lib/dpkg/status": "Package: ..\n"}, warnings: 1},
		"long name": {files: treetest.Files{"var/lib/dpkg/status": "Package: " + strings.Repeat("a", 256)},
			warnings: 1},
		"half a diversion": {files: treetest.Files{"var/lib/dpkg/status": status, "var/lib/dpkg/diversions": "/a\n/b\n"},
			damaged: true},
		"broken changelog": {files: treetest.Files{"var/lib/dpkg/status": "Package: a\n",
			"var/lib/dpkg/info/a.list": "/.\n", "usr/share/doc/a/changelog.gz": "x"}, packages: 1},
		"truncated changelog": {files: treetest.Files{"var/lib/dpkg/status": "Package: a\n",
			"var/lib/dpkg/info/a.list": "/.\n", "usr/share/doc/a/changelog.gz": compress(changelog)[:40]}, packages: 1},
		"paragraph of nothing": {files: treetest.Files{"var/lib/dpkg/status": "\n\n\nVersion: 1\n\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := read(t, tc.files)
			if errors.Is(err, installed.ErrDamaged) != tc.damaged || (err != nil) != tc.damaged {
				t.Errorf("error %v, damaged is %v", err, tc.damaged)
			}
			if len(s.Packages) != tc.packages || len(s.Warnings) != tc.warnings {
				t.Errorf("%d packages, warnings %q", len(s.Packages), s.Warnings)
			}
		})
	}
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	tr, c := treetest.New(debian())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dpkg.Read(ctx, rootfs.New(tr, c), &treetest.Sink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := dpkg.Read(t.Context(), rootfs.New(tr, treetest.Contents{}), &treetest.Sink{}); !errors.Is(err,
		tree.ErrNoContent) {
		t.Errorf("contents gone: %v", err)
	}
	full := errors.New("full")
	if err := dpkg.Read(t.Context(), rootfs.New(tr, c), &treetest.Sink{Err: full}); !errors.Is(err, full) {
		t.Errorf("sink: %v", err)
	}
}
