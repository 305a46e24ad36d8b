package demo

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// node is one path of the demo's filesystem.
type node struct {
	header tar.Header // Name, Typeflag, Mode, Linkname, Size and PAXRecords
	open   func() io.Reader
}

// filesystem is a tree in the making.
type filesystem struct {
	nodes map[string]node
	err   error
}

func newFilesystem() *filesystem {
	fs := &filesystem{nodes: map[string]node{}}
	for _, dir := range []string{
		"boot", "dev", "etc", "proc", "run", "sys", "sysroot", "tmp", "usr/bin", "usr/lib64", "usr/sbin", "var/home",
		"var/tmp",
	} {
		fs.dir(dir)
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin", "home": "var/home",
		"ostree":  "sysroot/ostree",
		"var/run": "../run", "etc/os-release": "../usr/lib/os-release",
	} {
		fs.symlink(name, target)
	}
	return fs
}

// add puts a node at its place and makes the directories above. A path that is taken is a mistake in the series.
func (fs *filesystem) add(n node) {
	if _, taken := fs.nodes[n.header.Name]; taken && fs.err == nil {
		fs.err = fmt.Errorf("the series has %s twice", n.header.Name)
	}
	fs.dir(path.Dir(n.header.Name))
	fs.nodes[n.header.Name] = n
}

func (fs *filesystem) dir(name string) {
	for ; name != "."; name = path.Dir(name) {
		if _, ok := fs.nodes[name]; ok {
			return
		}
		mode := int64(0o755)
		if name == "tmp" || name == "var/tmp" {
			mode = 0o1777
		}
		fs.nodes[name] = node{header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}}
	}
}

func (fs *filesystem) symlink(name, target string) {
	fs.add(node{header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: target}})
}

func (fs *filesystem) hardlink(name, target string) {
	fs.add(node{header: tar.Header{Name: name, Typeflag: tar.TypeLink, Mode: fs.nodes[target].header.Mode,
		Linkname: target}})
}

// file adds a regular file of made-up bytes; stamp tells its content from that of other files and of other versions.
func (fs *filesystem) file(name string, mode int64, t texture, stamp string, size int64) {
	stamp = name + "\x00" + stamp
	fs.add(node{
		header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: size},
		open:   func() io.Reader { return newContent(t, stamp, size) },
	})
}

// document adds a regular file with the given text.
func (fs *filesystem) document(name, text string) {
	fs.add(node{
		header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))},
		open:   func() io.Reader { return strings.NewReader(text) },
	})
}

func (fs *filesystem) xattr(name, key, value string) {
	n := fs.nodes[name]
	n.header.PAXRecords = map[string]string{"SCHILY.xattr." + key: value}
	fs.nodes[name] = n
}

// sorted returns the nodes as tar lists them: directories before what they hold, hardlinks after all else.
func (fs *filesystem) sorted() []node {
	var out, links []node
	for _, name := range slices.Sorted(maps.Keys(fs.nodes)) {
		if n := fs.nodes[name]; n.header.Typeflag == tar.TypeLink {
			links = append(links, n)
		} else {
			out = append(out, n)
		}
	}
	return append(out, links...)
}

// bytes is what the files hold.
func (fs *filesystem) bytes() int64 {
	var n int64
	for _, node := range fs.nodes {
		n += node.header.Size
	}
	return n
}
