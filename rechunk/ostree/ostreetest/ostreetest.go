// Package ostreetest makes ostree-encapsulated images of what a real ostree committed, for tests.
package ostreetest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

const repoDir = "sysroot/ostree/repo/"

// Encapsulate commits a directory with the ostree command and writes the commit as ostree-ext does (tar/export.rs): a layer
// of the repository's metadata objects and all directories, and one of the files' objects with hardlinks to them. Without an
// ostree, the test is skipped. Names must not hold line breaks or " -> ".
func Encapsulate(tb testing.TB, dir string) (commit string, layers [2][]treetest.Item) {
	tb.Helper()
	if _, err := exec.LookPath("ostree"); err != nil {
		tb.Skip("there is no ostree")
	}
	e := &exporter{tb: tb, repo: filepath.Join(tb.TempDir(), "repo"), done: map[string]bool{}}
	e.ostree("init", "--mode=archive")
	commit = strings.TrimSpace(e.ostree("commit", "--no-bindings", "--orphan", "--tree=dir="+dir))
	listing := strings.Split(strings.TrimSuffix(e.ostree("ls", "-R", "-C", commit, "/"), "\n"), "\n")
	e.meta = append(e.meta, treetest.Dir("."))
	for _, d := range []string{"sysroot", "sysroot/ostree", "sysroot/ostree/repo", "sysroot/ostree/repo/objects"} {
		e.meta = append(e.meta, treetest.Dir(d))
	}
	e.object(commit, "commit")
	for _, line := range listing {
		e.line(line)
	}
	return commit, [2][]treetest.Item{e.meta, e.files}
}

type exporter struct {
	tb          testing.TB
	repo        string
	done        map[string]bool
	meta, files []treetest.Item
}

func (e *exporter) ostree(args ...string) string {
	e.tb.Helper()
	cmd := exec.CommandContext(e.tb.Context(), "ostree", append(args, "--repo="+e.repo)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.tb.Fatalf("ostree %v: %v: %s", args, err, out)
	}
	return string(out)
}

// line exports a line of "ostree ls -C": mode, uid, gid, size, checksums, path.
func (e *exporter) line(line string) {
	e.tb.Helper()
	head, path, _ := strings.Cut(line, " /")
	f := strings.Fields(head)
	path, _, _ = strings.Cut(path, " -> ")
	if path = strings.Replace(path, "usr/etc", "etc", 1); path == "" {
		path = "."
	}
	mode, err := strconv.ParseInt(f[0][1:], 8, 64)
	if err != nil {
		e.tb.Fatal(err)
	}
	uid, _ := strconv.Atoi(f[1])
	gid, _ := strconv.Atoi(f[2])
	switch f[0][0] {
	case 'd':
		e.object(f[4], "dirtree")
		e.object(f[5], "dirmeta")
		if path != "sysroot" && path != "." {
			e.meta = append(e.meta, treetest.Dir(path).WithMode(mode).WithOwner(uid, gid))
		}
	default:
		e.file(path, f[4])
	}
}

// object exports a metadata object.
func (e *exporter) object(sum, kind string) {
	name := fmt.Sprintf("objects/%s/%s.%s", sum[:2], sum[2:], kind)
	if e.done[name] {
		return
	}
	e.done[name] = true
	b, err := os.ReadFile(filepath.Join(e.repo, name))
	if err != nil {
		e.tb.Fatal(err)
	}
	e.meta = append(e.meta, treetest.File(repoDir+name, string(b)))
}

// file exports a name of a file, and its object if that was not yet: the attributes in a file of their own, then the content
// with the same attributes but for SELinux's in PAX records. Empty files are no hardlinks.
func (e *exporter) file(path, sum string) {
	name := fmt.Sprintf("%sobjects/%s/%s.file", repoDir, sum[:2], sum[2:])
	object, raw := e.read(sum)
	object.Name = name
	if !e.done[name] {
		e.done[name] = true
		e.files = append(e.files, treetest.File(name+"-xattrs-link", raw), object)
	}
	if object.Size == 0 && object.Linkname == "" {
		empty := treetest.File(path, "").WithMode(object.Mode).WithOwner(object.Uid, object.Gid)
		e.files = append(e.files, empty)
		return
	}
	e.files = append(e.files, treetest.Hardlink(path, name))
}

// read reads a content object of an archive repository: the length of a header (tuuuusa(ayay)), big-endian, four bytes, the
// header, and the content by deflate.
func (e *exporter) read(sum string) (object treetest.Item, xattrs string) {
	b, err := os.ReadFile(filepath.Join(e.repo, "objects", sum[:2], sum[2:]+".filez"))
	if err != nil {
		e.tb.Fatal(err)
	}
	header := b[8 : 8+binary.BigEndian.Uint32(b)]
	width := map[bool]int{true: 1, false: 2}[len(header) <= 255]
	end := int(header[len(header)-width])
	if width == 2 {
		end |= int(header[len(header)-1]) << 8
	}
	content, err := io.ReadAll(flate.NewReader(bytes.NewReader(b[8+len(header):])))
	if err != nil && len(b) > 8+len(header) {
		e.tb.Fatal(err)
	}
	target := string(header[24 : end-1])
	if target != "" {
		object = treetest.Symlink("", target)
	} else {
		object = treetest.File("", string(content)).WithMode(int64(binary.BigEndian.Uint32(header[16:]) & 0o7777))
	}
	object = object.WithOwner(int(binary.BigEndian.Uint32(header[8:])), int(binary.BigEndian.Uint32(header[12:])))
	xattrs = string(header[end : len(header)-width])
	for name, value := range parse(xattrs) {
		if name != "security.selinux" && target == "" {
			object = object.WithXattr(name, value)
		}
	}
	return object, xattrs
}

// parse reads small attributes, a(ayay) of at most 255 bytes.
func parse(b string) map[string]string {
	out := map[string]string{}
	if b == "" || len(b) > 255 {
		return out
	}
	table := int(b[len(b)-1])
	start := 0
	for _, end := range []byte(b[table:]) {
		e := b[start:end]
		name := int(e[len(e)-1])
		out[e[:name-1]] = e[name : len(e)-1]
		start = int(end)
	}
	return out
}

// Paths lists the names of all files below a directory, and of it, as an image has them.
func Paths(tb testing.TB, dir string) []string {
	tb.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		out = append(out, rel)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(out)
	return out
}
