package layouts

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WithPolicy copies a series to a new layout and puts a layer on top of each image, with the SELinux policy of a system, its
// directory etc/selinux, and the sysroot that composefs wants to see. Without a policy the layer has the sysroot alone.
func WithPolicy(dir, copied string, tags []string, policy string) error {
	var raw bytes.Buffer
	if err := writePolicy(&raw, policy); err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer)) // cfsctl takes no layer of Docker's type in an image of OCI's
	if err != nil {
		return err
	}
	to, err := layout.Write(copied, empty.Index)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		img, err := Open(dir, tag)
		if err != nil {
			return err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return err
		}
		name := layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag})
		if err := to.AppendImage(img, name); err != nil {
			return err
		}
	}
	return nil
}

// writePolicy writes the files of a policy as a layer, always with the same bytes.
func writePolicy(to io.Writer, policy string) error {
	w := tar.NewWriter(to)
	err := w.WriteHeader(&tar.Header{Name: "sysroot/", Mode: 0o755, ModTime: time.Unix(0, 0), Typeflag: tar.TypeDir})
	if err != nil {
		return err
	}
	if policy == "" {
		return w.Close()
	}
	err = filepath.WalkDir(policy, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(policy, name)
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			return err
		}
		h := &tar.Header{Name: path.Join("etc/selinux", filepath.ToSlash(rel)), Mode: int64(info.Mode().Perm()),
			ModTime: time.Unix(0, 0), Typeflag: tar.TypeDir}
		if info.IsDir() {
			h.Name += "/"
			return w.WriteHeader(h)
		}
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	return errors.Join(err, w.Close())
}
