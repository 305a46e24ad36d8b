package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// image is an image of an OCI layout, as far as an import needs it.
type image struct {
	ref    string // oci:DIR:TAG
	order  []digest.Digest
	layers map[digest.Digest]v1.Layer
}

func openImage(dir, tag string) (*image, error) {
	img, err := layouts.Open(dir, tag)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	i := &image{ref: "oci:" + dir + ":" + tag, layers: map[digest.Digest]v1.Layer{}}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		d := digest.Digest(h.String())
		i.order = append(i.order, d)
		i.layers[d] = l
	}
	return i, nil
}

func (i *image) open(d digest.Digest) (io.ReadCloser, error) { return i.layers[d].Uncompressed() }

// imports prints a row for each version of a layout, imported in turn.
func (b *bench) imports(ctx context.Context, name, dir string, tags []string) (err error) {
	hosts, err := os.MkdirTemp(b.work, "hosts-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(hosts)) }()
	ostree, err := hostimport.NewOstree(ctx, hosts)
	if err != nil {
		return err
	}
	ostree.Relabel = true
	composefs, err := hostimport.NewComposefs(ctx, b.cfsctl, hosts)
	if err != nil && !errors.Is(err, hostimport.ErrMissing) {
		return err
	}
	has := map[digest.Digest]bool{}
	for _, tag := range tags {
		img, err := openImage(dir, tag)
		if err != nil {
			return err
		}
		fresh, size, err := img.missing(has)
		if err != nil {
			return err
		}
		onOstree := ostree.CPU()
		if _, err := ostree.Import(ctx, img.order, img.open); err != nil {
			return fmt.Errorf("%s: %w", img.ref, err)
		}
		onOstree = ostree.CPU() - onOstree
		onComposefs := "–"
		if composefs != nil {
			before := composefs.CPU()
			if err := composefs.Import(ctx, img.ref, tag); err != nil {
				return err
			}
			if _, err := composefs.ID(ctx, tag, true); err != nil {
				return err
			}
			onComposefs = fmt.Sprintf("%.1f", (composefs.CPU() - before).Seconds())
		}
		fmt.Fprintf(b.out, "| %s | %s | %d | %d | %d | %.1f | %s |\n", name, tag, len(img.order), fresh, size,
			onOstree.Seconds(), onComposefs)
	}
	return nil
}

// missing counts the layers that a host does not have, which it has from now on.
func (i *image) missing(has map[digest.Digest]bool) (layers int, size int64, err error) {
	for _, d := range i.order {
		if has[d] {
			continue
		}
		has[d] = true
		n, err := i.layers[d].Size()
		if err != nil {
			return 0, 0, err
		}
		layers, size = layers+1, size+n
	}
	return layers, size, nil
}

// withPolicy copies a series and puts a layer on top of each image, with the SELinux policy of a system, as etc/selinux, and
// the sysroot that composefs wants to see. It returns the copy.
func (b *bench) withPolicy(dir string, tags []string, policy string) (string, error) {
	var raw bytes.Buffer
	if err := writePolicy(&raw, policy); err != nil {
		return "", err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(raw.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer)) // cfsctl takes no layer of Docker's type in an image of OCI's
	if err != nil {
		return "", err
	}
	copied := filepath.Join(b.work, "source")
	to, err := layout.Write(copied, empty.Index)
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		img, err := layouts.Open(dir, tag)
		if err != nil {
			return "", err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return "", err
		}
		name := layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag})
		if err := to.AppendImage(img, name); err != nil {
			return "", err
		}
	}
	return copied, nil
}

// writePolicy writes the files of a policy as a layer, always with the same bytes.
func writePolicy(to io.Writer, policy string) error {
	w := tar.NewWriter(to)
	err := w.WriteHeader(&tar.Header{Name: "sysroot/", Mode: 0o755, ModTime: time.Unix(0, 0), Typeflag: tar.TypeDir})
	if err != nil {
		return err
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
