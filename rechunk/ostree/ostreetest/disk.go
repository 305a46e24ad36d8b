package ostreetest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Committable is a tree without what ostree does not keep: devices, what is filled at boot, and, since an ostree before 2023
// does not sort them, more than one attribute of an object.
func Committable(t *tree.Tree) *tree.Tree {
	out := &tree.Tree{}
	for _, e := range t.Entries {
		if e.Kind == tree.Char || e.Kind == tree.Block || e.Kind == tree.Fifo || !ostree.InCommit(e.Path) {
			continue
		}
		if len(e.Xattrs) > 1 {
			e.Xattrs = e.Xattrs[:1]
		}
		e.Link = ""
		out.Entries = append(out.Entries, e)
	}
	return out
}

// Files gives a commit the files of a tree, with the labels that Label says, if it is not nil.
type Files struct {
	TB       testing.TB
	Tree     *tree.Tree
	Contents tree.Contents
	Label    func(e *tree.Entry) string
}

// Attributes implements ostree.Files.
func (f *Files) Attributes(i int) []byte {
	e := &f.Tree.Entries[i]
	label := ""
	if f.Label != nil {
		label = f.Label(e)
	}
	return ostree.Attributes(e.Xattrs, label)
}

// Object implements ostree.Files.
func (f *Files) Object(i int) (sum ostree.Checksum) {
	e := &f.Tree.Entries[i]
	h, err := ostree.NewHash(e, f.Attributes(i))
	if err == nil && e.Size > 0 {
		var r io.ReadCloser
		if r, err = f.Contents.Open(e.Digest); err == nil {
			_, err = io.Copy(h, r)
			err = errors.Join(err, r.Close())
		}
	}
	if err != nil {
		f.TB.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

// Commit commits a directory with the ostree command, at a fixed time, and returns the commit's checksum. Without an ostree
// the test is skipped.
func Commit(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	if _, err := exec.LookPath("ostree"); err != nil {
		tb.Skip("there is no ostree")
	}
	e := &exporter{tb: tb, repo: filepath.Join(tb.TempDir(), "repo")}
	e.ostree("init", "--mode=bare")
	e.ostree("config", "set", "core.fsync", "false")
	return strings.TrimSpace(e.ostree(append([]string{"commit", "--no-bindings", "--orphan", "--tree=dir=" + dir,
		"--timestamp=@1700000000"}, args...)...))
}

// Disk writes a tree to a directory, with owners, modes and attributes, as ostree commits it: /etc is /usr/etc. Without the
// rights for it the test is skipped.
func Disk(tb testing.TB, t *tree.Tree, contents tree.Contents, dir string) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("it needs root, to keep owners and attributes on disk")
	}
	moved := func(p string) int {
		if tree.Within(p, "etc") {
			return 1
		}
		return 0
	}
	order := make([]*tree.Entry, len(t.Entries))
	for i := range order {
		order[i] = &t.Entries[i]
	}
	slices.SortStableFunc(order, func(a, b *tree.Entry) int { return moved(a.Path) - moved(b.Path) })
	for _, e := range order {
		at := filepath.Join(dir, filepath.FromSlash(strings.Repeat("usr/", moved(e.Path))+e.Path))
		if err := write(e, contents, at); err != nil {
			tb.Fatal(err)
		}
	}
}

func write(e *tree.Entry, contents tree.Contents, at string) error {
	switch e.Kind {
	case tree.Dir:
		if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	case tree.Symlink:
		if err := os.Symlink(e.Target, at); err != nil {
			return err
		}
		return os.Lchown(at, e.UID, e.GID)
	default:
		if err := file(e, contents, at); err != nil {
			return err
		}
	}
	if err := os.Chown(at, e.UID, e.GID); err != nil {
		return err
	}
	for _, x := range e.Xattrs {
		if err := syscall.Setxattr(at, x.Name, []byte(x.Value), 0); err != nil {
			return err
		}
	}
	return syscall.Chmod(at, e.Mode)
}

func file(e *tree.Entry, contents tree.Contents, at string) error {
	f, err := os.Create(at)
	if err != nil || e.Size == 0 {
		return errors.Join(err, f.Close())
	}
	r, err := contents.Open(e.Digest)
	if err == nil {
		_, err = io.Copy(f, r)
		err = errors.Join(err, r.Close())
	}
	return errors.Join(err, f.Close())
}
