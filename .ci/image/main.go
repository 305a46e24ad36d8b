// Command image writes the container image of built strata programs, one for each platform, as an OCI layout or, where the
// name ends in .tar, an archive of one. It needs no daemon and no network, and equal programs give equal bytes:
//
//	image -version 1.2.3 -created 1796049520 -o strata.tar amd64=bin/strata-amd64 arm64=bin/strata-arm64
//
// The image holds what the Dockerfile's last stage holds: the program, the certificates of authorities that this machine
// trusts, a user, and a place for data. Manifests and configurations have Docker's media types: those of OCI have no health
// check, and podman and docker read one from these alone.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strata-oci/strata/proxy/ociarchive"
)

// certificates is where Debian, Fedora after its compatibility links, and Go look for authorities.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// user is the one that the program runs as, in the image and in the chart.
const user = 65532

func main() {
	var r release
	created := flag.Int64("created", 0, "time of the image, in seconds since 1970")
	flag.StringVar(&r.version, "version", "dev", "version of the programs")
	flag.StringVar(&r.license, "license", "LICENSE", "file with the license")
	out := flag.String("o", "", "directory, or file that ends in .tar, to write")
	flag.Parse()
	r.created = time.Unix(*created, 0).UTC()
	if err := r.write(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// release is what the images of all platforms have in common.
type release struct {
	version, license string
	created          time.Time
}

// write makes the image of programs, each ARCHITECTURE=FILE, at out.
func (r *release) write(out string, programs []string) error {
	if out == "" || len(programs) == 0 {
		return errors.New("say where to with -o, and the programs as ARCHITECTURE=FILE")
	}
	list := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	for _, p := range programs {
		arch, file, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCHITECTURE=FILE", p)
		}
		img, err := r.image(arch, file)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch},
		}})
	}
	if !strings.HasSuffix(out, ".tar") {
		return r.layout(out, list)
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".image-")
	if err != nil {
		return fmt.Errorf("directory for the layout: %w", err)
	}
	return errors.Join(r.archive(out, dir, list), os.RemoveAll(dir))
}

// layout writes an OCI layout whose one entry is the list.
func (r *release) layout(dir string, list v1.ImageIndex) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	name := map[string]string{"org.opencontainers.image.ref.name": "strata:" + r.version}
	if err := p.AppendIndex(list, layout.WithAnnotations(name)); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	return nil
}

// archive writes the layout as a tar file, by way of dir.
func (r *release) archive(file, dir string, list v1.ImageIndex) error {
	if err := r.layout(dir, list); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return copyFile(w, ociarchive.Header(filepath.ToSlash(name), 0), path)
	})
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return fmt.Errorf("archive %s: %w", file, err)
	}
	return nil
}

// image is that of one architecture: what all have, then the program, so that an update leaves the first layer alone.
func (r *release) image(arch, program string) (v1.Image, error) {
	base, err := r.base()
	if err != nil {
		return nil, err
	}
	var binary bytes.Buffer
	w := tar.NewWriter(&binary)
	if err := copyFile(w, r.header("strata", 0o755), program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer of the program: %w", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	for _, l := range []struct {
		tar []byte
		by  string
	}{{base, "user, directories, certificates"}, {binary.Bytes(), "strata " + r.version}} {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(l.tar)), nil
		}, tarball.WithMediaType(types.DockerLayer))
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.DockerLayer, History: v1.History{
			Created: v1.Time{Time: r.created}, CreatedBy: l.by,
		}}); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created, c.Config = "linux", arch, v1.Time{Time: r.created}, r.config()
	return mutate.ConfigFile(img, c)
}

// config is how the image runs, as the Dockerfile says it.
func (r *release) config() v1.Config {
	return v1.Config{
		User:       fmt.Sprintf("%d:%d", user, user),
		WorkingDir: "/var/lib/strata",
		Entrypoint: []string{"/strata"},
		Cmd:        []string{"serve"},
		Env:        []string{"STRATA_LISTEN=0.0.0.0:5000"},
		ExposedPorts: map[string]struct{}{
			"5000/tcp": {}, "5001/tcp": {},
		},
		Volumes: map[string]struct{}{"/var/lib/strata": {}},
		// There is no shell: the program checks itself.
		Healthcheck: &v1.HealthConfig{
			Test:     []string{"CMD", "/strata", "status", "--ready"},
			Interval: 15 * time.Second, Timeout: 10 * time.Second, StartPeriod: 30 * time.Second, Retries: 3,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "strata",
			"org.opencontainers.image.description": "A registry-side delta proxy for bootable containers",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     r.version,
		},
	}
}

// base is the layer that does not depend on the program.
func (r *release) base() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []struct {
		name string
		mode int64
		uid  int
	}{
		{"etc", 0o755, 0}, {"etc/ssl", 0o755, 0}, {"etc/ssl/certs", 0o755, 0}, {"tmp", 0o1777, 0},
		{"var", 0o755, 0}, {"var/lib", 0o755, 0}, {"var/lib/strata", 0o700, user},
	} {
		h := r.header(d.name+"/", d.mode)
		h.Typeflag, h.Uid, h.Gid = tar.TypeDir, d.uid, d.uid
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	for _, f := range []struct{ name, text string }{
		{"etc/passwd", fmt.Sprintf("strata:x:%d:%d:strata:/var/lib/strata:/sbin/nologin\n", user, user)},
		{"etc/group", fmt.Sprintf("strata:x:%d:\n", user)},
	} {
		h := r.header(f.name, 0o644)
		h.Size = int64(len(f.text))
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	if err := errors.Join(copyFile(w, r.header("etc/ssl/certs/ca-certificates.crt", 0o644), certificates),
		copyFile(w, r.header("LICENSE", 0o644), r.license), w.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (r *release) header(name string, mode int64) *tar.Header {
	return &tar.Header{Name: name, Mode: mode, ModTime: r.created, Format: tar.FormatUSTAR}
}

// copyFile adds a file under a header, which gets its size.
func copyFile(w *tar.Writer, h *tar.Header, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("file of the image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("file of the image: %w", err)
	}
	h.Size = info.Size()
	if err := w.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}
