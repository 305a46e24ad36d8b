package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/bench/history"
)

// histories are the series made from the package history: heavy, the stable branch with a rebase, and daily, the branch that
// is built every day.
func histories(dir, work string, scale float64, quick bool) ([]*series, error) {
	c, err := history.Load(dir)
	if err != nil {
		return nil, err
	}
	const day = 24 * time.Hour
	list := []history.Series{
		{Name: "heavy", Branch: "stable", From: time.Date(2022, 2, 28, 0, 0, 0, 0, time.UTC), Count: 14, Every: 7 * day},
		{Name: "daily", Branch: "testing-devel", From: time.Date(2022, 2, 1, 0, 0, 0, 0, time.UTC), Count: 22, Every: day},
	}
	if quick {
		list[0].Count, list[1].Count, scale = 5, 6, scale/4
	}
	c.Scale(scale)
	var out []*series
	for _, h := range list {
		releases := h.Releases(c)
		if len(releases) < 2 {
			return nil, fmt.Errorf("the history has %d releases of %s", len(releases), h.Branch)
		}
		out = append(out, &series{
			name: fmt.Sprintf("%s history × %.3g", h.Name, scale), dir: filepath.Join(work, h.Name), scale: scale,
			make: func(ctx context.Context, dir string) error { return writeHistory(ctx, dir, c, releases, scale) },
		})
	}
	return out, nil
}

// writeHistory writes the releases as images of one layer each, tagged with their numbers and dates.
func writeHistory(ctx context.Context, dir string, c *history.Corpus, releases []history.Release, scale float64) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	m := &imageMaker{c: c, files: history.NewFiles(c), scale: scale, changed: map[string]time.Time{}}
	for n, r := range releases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pipe, w := io.Pipe()
		go func() { _ = w.CloseWithError(m.write(w, r)) }()
		img, err := singleLayer(pipe, r.Date)
		if err != nil {
			return err
		}
		tag := fmt.Sprintf("v%02d-%s", n+1, r.Date.Format(time.DateOnly))
		if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag})); err != nil {
			return fmt.Errorf("%s: %w", tag, err)
		}
	}
	return nil
}

// singleLayer makes a bootable image of one tar stream, which is read when the image is written.
func singleLayer(r io.ReadCloser, created time.Time) (v1.Image, error) {
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Created: v1.Time{Time: created},
		Config: v1.Config{Labels: map[string]string{"containers.bootc": "1"}}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	l := stream.NewLayer(r, stream.WithCompressionLevel(gzip.BestSpeed), stream.WithMediaType(types.OCILayer))
	return mutate.AppendLayers(img, l)
}

// imageMaker writes releases, which must come in order.
type imageMaker struct {
	c     *history.Corpus
	files *history.Files
	scale float64
	// changed is when the package's present version came.
	changed  map[string]time.Time
	versions map[string]string
}

const (
	rpmDirectory = "usr/lib/sysimage/rpm"
	// initramfsBytes is what an initramfs takes, compressed as it is.
	initramfsBytes = 75 << 20
)

// write writes a release as a tar stream.
func (m *imageMaker) write(w io.Writer, r history.Release) error {
	t := &tarWriter{tar: tar.NewWriter(w), dirs: map[string]bool{}, fill: newFiller()}
	kernel := r.Packages["kernel"]
	pkgs := make([]string, 0, len(r.Packages))
	for p := range r.Packages {
		pkgs = append(pkgs, p)
	}
	slices.Sort(pkgs)
	db := &rpmDatabase{c: m.c, built: r.Date}
	for _, p := range pkgs {
		evra := r.Packages[p]
		if m.versions[p] != evra {
			m.changed[p] = r.Date
		}
		h := db.add(p, evra, m.changed[p])
		contents := m.files.Contents(p, evra)
		for i, f := range m.files.Of(p) {
			at := file{path: f.Path(kernel), mode: f.Mode(), size: f.Size, packed: f.Packed, time: m.changed[p]}
			sum, err := t.file(at, contents[i])
			if err != nil {
				return err
			}
			h.file(at, sum)
		}
	}
	m.versions = r.Packages
	boot := int64(initramfsBytes * m.scale)
	at := file{path: "usr/lib/modules/" + kernel + "/initramfs.img", mode: 0o600, size: boot, packed: boot, time: r.Date}
	if _, err := t.file(at, history.Initramfs(r)); err != nil {
		return err
	}
	packages, err := db.encode()
	if err != nil {
		return err
	}
	if err := t.whole(rpmDirectory+"/rpmdb.sqlite", packages, r.Date); err != nil {
		return err
	}
	return t.tar.Close()
}

// file is a file to write.
type file struct {
	path         string
	mode         uint32
	size, packed int64
	time         time.Time
}

// tarWriter writes files with the directories above them.
type tarWriter struct {
	tar  *tar.Writer
	dirs map[string]bool
	fill *filler
}

func (t *tarWriter) header(f file) error {
	for i, c := range f.path {
		if dir := f.path[:i]; c == '/' && !t.dirs[dir] {
			t.dirs[dir] = true
			h := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(1_600_000_000, 0)}
			if err := t.tar.WriteHeader(h); err != nil {
				return err
			}
		}
	}
	return t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: int64(f.mode), Size: f.size,
		ModTime: f.time})
}

// file writes invented bytes and returns their digest.
func (t *tarWriter) file(f file, seed [32]byte) ([32]byte, error) {
	if err := t.header(f); err != nil {
		return seed, err
	}
	h := sha256.New()
	err := t.fill.write(io.MultiWriter(t.tar, h), f.size, float64(f.packed)/float64(max(1, f.size)), seed)
	return [32]byte(h.Sum(nil)), err
}

func (t *tarWriter) whole(path string, content []byte, now time.Time) error {
	if err := t.header(file{path: path, mode: 0o644, size: int64(len(content)), time: now}); err != nil {
		return err
	}
	_, err := t.tar.Write(content)
	return err
}

// evra takes an epoch, version, release and architecture apart.
func splitEVRA(s string) (epoch uint32, version, release, arch string) {
	if i := slices.Index([]byte(s), ':'); i >= 0 {
		n, err := strconv.ParseUint(s[:i], 10, 32)
		if err == nil {
			epoch = uint32(n)
		}
		s = s[i+1:]
	}
	s, arch = cutLast(s, '.')
	version, release = cutLast(s, '-')
	return epoch, version, release, arch
}

func cutLast(s string, at byte) (head, tail string) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == at {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
