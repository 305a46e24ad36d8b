package rpmdb_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realDatabase returns a database of the go-rpmdb module.
func realDatabase(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/anchore/go-rpmdb").Output()
	if err != nil {
		t.Skipf("the module that holds real databases is not here: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkg", "testdata", name))
	if err != nil {
		t.Skip(err)
	}
	return b
}

func TestReadPrefersTheNewestFormat(t *testing.T) {
	t.Parallel()
	sqlite, old := realDatabase(t, "fedora35/rpmdb.sqlite"), realDatabase(t, "libuuid/Packages")
	tr, c := treetest.New(treetest.Files{
		"var/lib/rpm/Packages": old, "var/lib/rpm/rpmdb.sqlite": "damaged", "usr/share/rpm/rpmdb.sqlite": sqlite,
	})
	s := &treetest.Sink{}
	work := t.TempDir()
	if err := rpmdb.Read(t.Context(), rootfs.New(tr, c), work, s); err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) < 100 || len(s.Warnings) > 0 {
		t.Errorf("%d packages, warnings %q", len(s.Packages), s.Warnings)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left in the working directory: %v, %v", left, err)
	}
}

// TestReadInAnyWorkDirectory reads each format in directories that mean something else in a URI, relative ones among them.
func TestReadInAnyWorkDirectory(t *testing.T) {
	databases := map[string][]byte{
		"rpmdb.sqlite": realDatabase(t, "fedora35/rpmdb.sqlite"), "Packages.db": realDatabase(t, "sle15-bci/Packages.db"),
		"Packages": realDatabase(t, "libuuid/Packages"),
	}
	t.Chdir(t.TempDir())
	for _, work := range []string{
		"work", "./strata-data/work", "work/../work", ".", "wo rk", "wo?rk=1", "wo#rk", "wo%41rk", "wo%rk", "wo&mode=memory",
		"file:work", ":memory:", "wörk", "wo\xffrk", `wo\rk`, "wo;rk", "wo+rk", "wo'rk", "~", "//" + t.TempDir() + "//work",
	} {
		for format, db := range databases {
			if err := os.MkdirAll(work, 0o700); err != nil {
				t.Fatal(err)
			}
			tr, c := treetest.New(treetest.Files{"var/lib/rpm/" + format: db})
			s := &treetest.Sink{}
			if err := rpmdb.Read(t.Context(), rootfs.New(tr, c), work, s); err != nil || len(s.Packages) == 0 ||
				len(s.Warnings) > 0 {
				t.Errorf("%s in %q: %d packages, warnings %q, %v", format, work, len(s.Packages), s.Warnings, err)
			}
			if left, err := os.ReadDir(work); err != nil || work != "." && len(left) > 0 {
				t.Errorf("left in %q: %v, %v", work, left, err)
			}
		}
	}
}

// atRandom are contents that can be read at random, as those of a spool.
type atRandom struct{ tree.Contents }

type section struct{ *bytes.Reader }

func (section) Close() error { return nil }

func (c atRandom) Open(d tree.Digest) (io.ReadCloser, error) {
	r, err := c.Contents.Open(d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return section{bytes.NewReader(b)}, errors.Join(err, r.Close())
}

// What can be read at random is not copied.
func TestReadWithoutCopy(t *testing.T) {
	t.Parallel()
	for format, from := range map[string]string{
		"rpmdb.sqlite": "fedora35/rpmdb.sqlite", "Packages.db": "sle15-bci/Packages.db", "Packages": "libuuid/Packages",
	} {
		tr, c := treetest.New(treetest.Files{"var/lib/rpm/" + format: realDatabase(t, from)})
		copied, direct := &treetest.Sink{}, &treetest.Sink{}
		if err := rpmdb.Read(t.Context(), rootfs.New(tr, c), t.TempDir(), copied); err != nil || len(copied.Packages) == 0 {
			t.Errorf("%s: %v", format, err)
		}
		if err := rpmdb.Read(t.Context(), rootfs.New(tr, atRandom{c}), "/nonexistent", direct); err != nil ||
			!reflect.DeepEqual(direct, copied) {
			t.Errorf("%s without a copy: %v", format, err)
		}
	}
}

func TestReadFallsBack(t *testing.T) {
	t.Parallel()
	old := realDatabase(t, "libuuid/Packages")
	sqlite := realDatabase(t, "fedora35/rpmdb.sqlite")
	tr, c := treetest.New(treetest.Files{
		"usr/lib/sysimage/rpm": treetest.Link("../../share/rpm"), "usr/share/rpm/rpmdb.sqlite": sqlite[:4096],
		"var/lib/rpm/Packages": old, "var/lib/rpm/Packages.db": "",
	})
	s := &treetest.Sink{}
	if err := rpmdb.Read(t.Context(), rootfs.New(tr, c), t.TempDir(), s); err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 1 {
		t.Errorf("%d packages, want the one of the old database", len(s.Packages))
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	sqlite := realDatabase(t, "fedora35/rpmdb.sqlite")
	full := errors.New("full")
	for name, tc := range map[string]struct {
		ctx   context.Context
		files treetest.Files
		gone  bool
		work  string
		sink  treetest.Sink
		want  error
	}{
		"none": {files: treetest.Files{"var/lib/rpm": treetest.Dir{}}},
		"garbage": {files: treetest.Files{"var/lib/rpm/rpmdb.sqlite": strings.Repeat("garbage", 999)},
			want: installed.ErrDamaged},
		"too large":     {files: treetest.Files{"var/lib/rpm/Packages": treetest.Sized(1 << 40)}, want: rootfs.ErrTooLarge},
		"contents gone": {files: treetest.Files{"var/lib/rpm/rpmdb.sqlite": sqlite}, gone: true, want: tree.ErrNoContent},
		"no work": {files: treetest.Files{"var/lib/rpm/rpmdb.sqlite": sqlite}, work: "/nonexistent",
			want: os.ErrNotExist},
		"canceled": {ctx: canceled, files: treetest.Files{"var/lib/rpm/rpmdb.sqlite": sqlite}, want: context.Canceled},
		"sink": {files: treetest.Files{"var/lib/rpm/rpmdb.sqlite": sqlite}, sink: treetest.Sink{Err: full},
			want: full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, c := treetest.New(tc.files)
			if tc.gone {
				c = nil
			}
			ctx, work := tc.ctx, tc.work
			if ctx == nil {
				ctx = t.Context()
			}
			if work == "" {
				work = t.TempDir()
			}
			if err := rpmdb.Read(ctx, rootfs.New(tr, c), work, &tc.sink); !errors.Is(err, tc.want) ||
				(err != nil) != (tc.want != nil) {
				t.Errorf("Read: %v, want %v", err, tc.want)
			}
		})
	}
}
