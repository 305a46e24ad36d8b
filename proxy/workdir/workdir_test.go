package workdir_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/workdir"
)

// leave makes what a process leaves that is killed right after it made a temporary file.
func leave(t *testing.T, dir, pattern string) string {
	t.Helper()
	if strings.Count(pattern, "*") > 1 {
		pattern = strings.Replace(pattern, "*", "4711", 1)
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func take(t *testing.T, dir string) *claim.Claim {
	t.Helper()
	c, err := workdir.Claim(dir, nil)
	if errors.Is(err, claim.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// What a killed process left of any maker goes with the first claim, and not while a process lives.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	for _, pattern := range workdir.Patterns() {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			old := leave(t, dir, pattern)
			live := take(t, dir)
			if exists(t, old) {
				t.Error("the leftover is still there")
			}
			used := leave(t, dir, pattern)
			second := take(t, dir)
			if !exists(t, used) {
				t.Error("a file of a live process is gone")
			}
			if err := errors.Join(live.Release(), second.Release()); err != nil {
				t.Fatal(err)
			}
			if err := take(t, dir).Release(); err != nil || exists(t, used) {
				t.Errorf("after both: %v, and it is there: %t", err, exists(t, used))
			}
		})
	}
}

// What is not Strata's stays, however it is called.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"rpmdb-backup.sqlite", "spool-1.txt", "spool-", "my-spool-1", "htpasswd-users", "strata-tmp-spool-x1", "strata-tmp-",
		"extsort_1", "needed-1~",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shared, folder, link := filepath.Join(dir, "rpmdb-2"), filepath.Join(dir, "spool-3"), filepath.Join(dir, "spool-4")
	if err := errors.Join(os.WriteFile(shared, nil, 0o600), os.Chmod(shared, 0o644), os.Mkdir(folder, 0o700),
		os.Symlink("lock", link)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := take(t, dir).Release(); err != nil {
		t.Fatal(err)
	}
	for _, e := range before {
		if !exists(t, filepath.Join(dir, e.Name())) {
			t.Error("gone:", e.Name())
		}
	}
}

// The caller's part comes after the sweep, and its error is returned.
func TestAlone(t *testing.T) {
	t.Parallel()
	dir, fault := t.TempDir(), errors.New("fault")
	old := leave(t, dir, workdir.Patterns()[0])
	c, err := workdir.Claim(dir, func() error {
		if exists(t, old) {
			t.Error("it is called before the sweep")
		}
		return fault
	})
	if !errors.Is(err, fault) && !errors.Is(err, claim.ErrUnsupported) {
		t.Error(c, err)
	}
}

// Each maker of temporary files names them by its own TempPattern, which the sweep knows. Left out are rooms whose files do
// not lie in a directory that is claimed.
func TestMakers(t *testing.T) {
	t.Parallel()
	elsewhere := []string{"proxy/airgap", "proxy/casync/static", "proxy/demo", "proxy/imageref", "proxy/oneshot"}
	var makers []string
	for _, top := range []string{"chunkstore", "proxy", "rechunk"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, d fs.DirEntry, err error) error {
			room := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path),
				filepath.Join("../..")+string(filepath.Separator)))
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.HasSuffix(room, "test") ||
				slices.Contains(elsewhere, room) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "CreateTemp" || f.Sel.Name == "MkdirTemp") {
					makers = append(makers, room)
					if name, ok := call.Args[1].(*ast.Ident); !ok || name.Name != "TempPattern" {
						t.Errorf("%s names temporary files by something else than its TempPattern", path)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(makers)
	want := []string{"proxy/edge/scratch", "proxy/flight", "proxy/upkeep", "rechunk/pkgdb/rpmdb", "rechunk/scan"}
	if got := slices.Compact(makers); !slices.Equal(got, want) {
		t.Errorf("temporary files are made in %q; the sweep knows %q", got, want)
	}
}
