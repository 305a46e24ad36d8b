//go:build unix

package private_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/chunkstore/private"
)

const stranger = 12345 // a user that does not run these tests

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directory makes one of a mode, whatever the umask.
func directory(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, mode))
	return dir
}

// It changes the umask, so it is not parallel.
func TestNewDirectory(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		dir := filepath.Join(t.TempDir(), "a", "b")
		err := private.Directory(dir)
		syscall.Umask(old)
		must(t, err)
		if got := mode(t, dir); got != fs.ModeDir|0o700 {
			t.Errorf("umask %o: %v", umask, got)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode    fs.FileMode
		prepare func(t *testing.T, dir string)
		refused bool
		want    fs.FileMode
	}{
		"empty":          {mode: 0o755, want: 0o700},
		"empty, setgid":  {mode: 0o770 | fs.ModeSetgid, want: 0o700 | fs.ModeSetgid},
		"used":           {mode: 0o755, prepare: put, want: 0o755},
		"everybody's":    {mode: 0o777, refused: true},
		"used by all":    {mode: 0o707, prepare: put, refused: true},
		"sticky":         {mode: 0o777 | fs.ModeSticky, want: 0o777 | fs.ModeSticky},
		"another user's": {mode: 0o700, prepare: give, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := directory(t, tc.mode)
			if tc.prepare != nil {
				tc.prepare(t, dir)
			}
			err := private.Directory(dir)
			if errors.Is(err, private.ErrExposed) != tc.refused || err != nil && !tc.refused {
				t.Fatal(err)
			}
			if got := mode(t, dir); !tc.refused && got != fs.ModeDir|tc.want {
				t.Errorf("it has the mode %v now", got)
			}
		})
	}
}

func put(t *testing.T, dir string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o600))
}

func give(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	must(t, os.Lchown(path, stranger, stranger))
}

// An operator's own link is as good as a directory; a stranger's leads where he likes.
func TestLinkToDirectory(t *testing.T) {
	t.Parallel()
	dir := directory(t, 0o700)
	link := dir + "-link"
	must(t, os.Symlink(dir, link))
	must(t, private.Directory(link))
	give(t, link)
	if err := private.Directory(link); !errors.Is(err, private.ErrExposed) {
		t.Error(err)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	must(t, private.Tree(filepath.Join(t.TempDir(), "none")))
	dir := directory(t, 0o755)
	put(t, dir)
	must(t, private.Tree(dir))
	if got := mode(t, dir); got != fs.ModeDir|0o700 {
		t.Error(got)
	}
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "uploads")))
	link := dir + "-link"
	must(t, os.Symlink(dir, link))
	for _, path := range []string{dir, link, filepath.Join(dir, "x")} {
		if err := private.Tree(path); !errors.Is(err, private.ErrExposed) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
