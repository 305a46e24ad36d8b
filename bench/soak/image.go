package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// An invented system has so many packages of so many files; together some 12 MB.
const (
	packagesPerSystem = 40
	filesPerPackage   = 12
	bytesPerFile      = 24 << 10
)

// system is one version of an invented operating system: how often each package was updated.
type system struct {
	name     string
	versions [packagesPerSystem]int
}

// updated is the system after an update of some packages.
func (s system) updated(r *rand.Rand) system {
	for range 1 + r.IntN(4) {
		s.versions[r.IntN(packagesPerSystem)]++
	}
	return s
}

// listing is what a filesystem holds: path to the SHA-256 of a file's content.
type listing map[string]string

// image makes the system's image, one gzip layer as naive builds have it, and says what it holds.
func (s system) image() (v1.Image, listing, error) {
	var b bytes.Buffer
	holds := listing{}
	w := tar.NewWriter(&b)
	var status strings.Builder
	for n, version := range s.versions {
		name := fmt.Sprintf("package-%02d", n)
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.%d\n\n", name,
			version)
		var list strings.Builder
		for i := range filesPerPackage {
			path := fmt.Sprintf("usr/lib/%s/file-%02d", name, i)
			fmt.Fprintf(&list, "/%s\n", path)
			// A package's first files change with every update, the others hardly ever.
			state := version
			if i >= filesPerPackage/2 {
				state = version / 8
			}
			if err := put(w, holds, path, invented(fmt.Sprint(s.name, path, state))); err != nil {
				return nil, nil, err
			}
		}
		if err := put(w, holds, "var/lib/dpkg/info/"+name+".list", []byte(list.String())); err != nil {
			return nil, nil, err
		}
	}
	if err := put(w, holds, "var/lib/dpkg/status", []byte(status.String())); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	img, err := bootable(b.Bytes())
	return img, holds, err
}

func put(w *tar.Writer, holds listing, path string, content []byte) error {
	holds[path] = contentSum(content)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644,
		Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// invented makes a file's content of its name, the same every time; half of it compresses away.
func invented(name string) []byte {
	seed := sha256.Sum256([]byte(name))
	r := rand.NewChaCha8(seed)
	b := make([]byte, bytesPerFile)
	_, _ = r.Read(b[:bytesPerFile/2]) // it never fails
	return b
}

func contentSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// bootable makes an image of one layer with the label that has it rechunked.
func bootable(layer []byte) (v1.Image, error) {
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, withLabel(img))
}

func withLabel(img v1.Image) *v1.ConfigFile {
	c, err := img.ConfigFile()
	if err != nil {
		c = &v1.ConfigFile{}
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	c.Config.Labels = map[string]string{"containers.bootc": "1"}
	return c
}
