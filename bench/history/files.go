package history

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Files invents the files of packages, the same way every time. A package's files are the same in each of its versions but
// for their content: on an update programs and kernel modules change, data with probability 0.3, documentation with 0.1.
type Files struct {
	c     *Corpus
	files map[string][]File
	state map[string]*state
}

// NewFiles invents files for a history's packages.
func NewFiles(c *Corpus) *Files {
	return &Files{c: c, files: map[string][]File{}, state: map[string]*state{}}
}

// Kind is what a file is for.
type Kind byte

// The kinds of file.
const (
	Program Kind = iota + 1
	Data
	Text
	Module // of the kernel, compressed already
)

// File is a file of a package.
type File struct {
	Kind Kind
	// Size and Packed are its bytes as they are and, about, compressed.
	Size, Packed int64
	pkg, name    string
}

// Path gives the file's path; modules lie below their kernel's version.
func (f *File) Path(kernel string) string {
	if f.Kind == Module {
		return fmt.Sprintf("usr/lib/modules/%s/%s/%s", kernel, f.pkg, f.name)
	}
	return f.name
}

// Mode gives the permission bits.
func (f *File) Mode() uint32 {
	if f.Kind == Program {
		return 0o755
	}
	return 0o644
}

// Chance is the probability that the file changes when its package does.
func (f *File) Chance() float64 {
	switch f.Kind {
	case Data:
		return 0.3
	case Text:
		return 0.1
	}
	return 1
}

// state is the content of a package's files at its present version.
type state struct {
	version string
	digests []tree.Digest
}

// fraction is a number in 0..1 that depends on its arguments alone.
func fraction(parts ...any) float64 {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// IsKernel says whether a package is a part of the kernel.
func IsKernel(pkg string) bool { return pkg == "kernel" || strings.HasPrefix(pkg, "kernel-") }

// Of gives the files of a package: about one per 40 KB, sizes spread over two orders of magnitude.
func (m *Files) Of(pkg string) []File {
	if f, ok := m.files[pkg]; ok {
		return f
	}
	total := m.c.SizeOf(pkg)
	n := int(min(max(total/(40<<10), 3), 400))
	files := make([]File, n)
	weights, sum := make([]float64, n), 0.0
	for i := range files {
		f := &files[i]
		f.pkg = pkg
		u := fraction(pkg, "kind", i)
		weights[i] = 0.01 + fraction(pkg, "size", i)*fraction(pkg, "size2", i)
		ratio := 0.0
		switch {
		case IsKernel(pkg):
			f.Kind, f.name, ratio = Module, fmt.Sprintf("m%03d.ko.xz", i), 1
		case i == 0 || u < 0.35:
			f.Kind, f.name, ratio = Program, fmt.Sprintf("usr/lib64/%s/p%03d.so", pkg, i), 0.38
			weights[i] *= 3
		case u < 0.75:
			f.Kind, f.name, ratio = Data, fmt.Sprintf("usr/share/%s/d%03d.dat", pkg, i), 0.35
		default:
			f.Kind, f.name, ratio = Text, fmt.Sprintf("usr/share/doc/%s/t%03d", pkg, i), 0.35
		}
		if f.Kind != Module {
			ratio *= 0.6 + 0.8*fraction(pkg, "ratio", i)
		}
		f.Packed = int64(ratio * 1024)
		sum += weights[i]
	}
	for i := range files {
		files[i].Size = int64(weights[i] / sum * float64(total))
		files[i].Packed = 100 + files[i].Size*files[i].Packed/1024
	}
	m.files[pkg] = files
	return files
}

// Contents gives the contents of a package's files at a version, for each of Of. Versions must come in order: what a file
// holds depends on those before.
func (m *Files) Contents(pkg, version string) []tree.Digest {
	s := m.state[pkg]
	if s != nil && s.version == version {
		return s.digests
	}
	files := m.Of(pkg)
	next := &state{version: version, digests: make([]tree.Digest, len(files))}
	for i := range files {
		if s != nil && fraction(pkg, version, i) >= files[i].Chance() {
			next.digests[i] = s.digests[i]
			continue
		}
		next.digests[i] = sha256.Sum256(fmt.Append(nil, pkg, version, i))
	}
	m.state[pkg] = next
	return next.digests
}

// initramfsParts are the packages whose update changes the initramfs.
var initramfsParts = []string{"kernel", "kernel-core", "systemd", "dracut", "ignition", "glibc"}

// Initramfs gives the content of a release's initramfs: it changes with what is put into it.
func Initramfs(r Release) tree.Digest {
	var parts []string
	for _, p := range initramfsParts {
		parts = append(parts, r.Packages[p])
	}
	return sha256.Sum256([]byte(strings.Join(parts, " ")))
}
