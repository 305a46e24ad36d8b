package main

import (
	"archive/tar"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// synthetic describes an invented image: a Debian system of packages with files of realistic sizes and entropy. The same
// values give the same bytes.
type synthetic struct {
	entries int
	bytes   int64 // of all files' contents, about
	// version counts updates; each updates one package, in turn.
	version int
	// perPackage is the number of files of a package; 0 means filesPerPackage.
	perPackage int
}

const filesPerPackage = 50

func (s synthetic) filesOfPackage() int { return cmp.Or(s.perPackage, filesPerPackage) }

// packages is the number of packages.
func (s synthetic) packages() int { return max(1, s.entries/s.filesOfPackage()) }

// updates is how often a package was updated up to the image's version. Each version updates one.
func (s synthetic) updates(pkg int) int {
	n := s.packages()
	return (s.version + n - 1 - pkg) / n
}

func seed(words ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprintln(h, words...)
	return h.Sum64()
}

// write writes the image as one layer's tar stream.
func (s synthetic) write(w io.Writer) error {
	t := &synthWriter{tar: tar.NewWriter(w), dirs: map[string]bool{}, filler: newFiller()}
	var status strings.Builder
	sizes, files := s.sizes(), s.filesOfPackage()
	for pkg := range s.packages() {
		name, version := fmt.Sprintf("package-%04d", pkg), fmt.Sprintf("1.%d", s.updates(pkg))
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nInstalled-Size: 100\n"+
			"Maintainer: Bench <bench@example.org>\nDescription: invented\n\n", name, version)
		var list strings.Builder
		list.WriteString("/.\n/usr\n/usr/lib\n/usr/lib/" + name + "\n")
		for i := range min(files, s.entries-pkg*files) {
			path := fmt.Sprintf("usr/lib/%s/%02d/file-%02d.so", name, i/16, i)
			list.WriteString("/" + path + "\n")
			// An update changes every fourth file of a package.
			state := 0
			if i%4 == 0 {
				state = s.updates(pkg)
			}
			if err := t.file(path, sizes(path), seed(path, state)); err != nil {
				return err
			}
		}
		if err := t.text("var/lib/dpkg/info/"+name+".list", list.String()); err != nil {
			return err
		}
	}
	if err := t.text("var/lib/dpkg/status", status.String()); err != nil {
		return err
	}
	return t.tar.Close()
}

// sizes returns the size of a file by its path: a log-normal distribution, which file sizes follow, scaled so that all
// together have about the wanted bytes.
func (s synthetic) sizes() func(path string) int64 {
	const sigma = 2
	mean := float64(s.bytes) / float64(max(1, s.entries))
	mu := math.Log(mean) - sigma*sigma/2
	largest := max(float64(s.bytes)/32, mean)
	return func(path string) int64 {
		r := rand.New(rand.NewPCG(seed("size", path), 0))
		return int64(min(math.Exp(mu+sigma*r.NormFloat64()), largest))
	}
}

// synthWriter writes files with the directories above them.
type synthWriter struct {
	tar    *tar.Writer
	dirs   map[string]bool
	filler *filler
}

func (t *synthWriter) header(path string, size int64) error {
	for i, c := range path {
		if dir := path[:i]; c == '/' && !t.dirs[dir] {
			t.dirs[dir] = true
			h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(1_600_000_000, 0)}
			if err := t.tar.WriteHeader(h); err != nil {
				return err
			}
		}
	}
	return t.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: size, ModTime: time.Unix(1_600_000_000, 0),
	})
}

func (t *synthWriter) text(path, content string) error {
	if err := t.header(path, int64(len(content))); err != nil {
		return err
	}
	_, err := io.WriteString(t.tar, content)
	return err
}

func (t *synthWriter) file(path string, size int64, seed uint64) error {
	if err := t.header(path, size); err != nil {
		return err
	}
	return t.filler.fill(t.tar, size, seed)
}

// filler makes bytes that compress like those of programs and libraries, to about two fifths: literals of seven bits, and
// copies of what was a little before.
type filler struct {
	buf []byte
}

func newFiller() *filler { return &filler{make([]byte, 64<<10)} }

func (f *filler) fill(w io.Writer, size int64, seed uint64) error {
	rng := rand.NewPCG(seed, 1)
	for size > 0 {
		b := f.buf[:min(size, int64(len(f.buf)))]
		block(b, rng)
		if _, err := w.Write(b); err != nil {
			return err
		}
		size -= int64(len(b))
	}
	return nil
}

func block(b []byte, rng *rand.PCG) {
	const literals, longest, reach = 8, 40, 4096
	for at := 0; at < len(b); {
		v := rng.Uint64()
		var word [literals]byte
		binary.LittleEndian.PutUint64(word[:], v&0x7f7f7f7f7f7f7f7f)
		at += copy(b[at:], word[:])
		if at < reach {
			continue
		}
		back, length := longest+int(v>>48)%(reach-longest), 4+int(v>>40)%(longest-3)
		at += copy(b[at:], b[at-back:at-back+length])
	}
}
