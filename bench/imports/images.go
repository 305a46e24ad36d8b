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
	layout string // DIR:TAG
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
	i := &image{layout: dir + ":" + tag, layers: map[digest.Digest]v1.Layer{}}
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

// hosts are hosts of each kind, which keep what they have imported. Those that are nil are not measured.
type hosts struct {
	ostree    *hostimport.Ostree
	ext       *hostimport.OstreeExt // takes what ostree itself would, into its repository
	composefs *hostimport.Composefs
}

// newHosts makes hosts below a directory, of plain images or of encapsulated ones.
func (b *bench) newHosts(ctx context.Context, dir string, encapsulated bool) (h hosts, err error) {
	if h.ostree, err = hostimport.NewOstree(ctx, dir); err != nil {
		return h, err
	}
	h.ostree.Relabel = true
	if encapsulated {
		h.ext, err = hostimport.NewOstreeExt(b.ostreeExt)
		return h, err
	}
	if h.composefs, err = hostimport.NewComposefs(ctx, b.cfsctl, dir); errors.Is(err, hostimport.ErrMissing) {
		h.composefs, err = nil, nil
	}
	return h, err
}

// onOstree imports an image and gives the processor time that it took.
func (h *hosts) onOstree(ctx context.Context, img *image) (time.Duration, error) {
	if h.ext != nil {
		before := h.ext.CPU()
		_, _, err := h.ext.Import(ctx, h.ostree.Repo(), img.layout)
		return h.ext.CPU() - before, err
	}
	before := h.ostree.CPU()
	_, err := h.ostree.Import(ctx, img.order, img.open)
	return h.ostree.CPU() - before, err
}

// onComposefs is onOstree for hosts on composefs; – without one.
func (h *hosts) onComposefs(ctx context.Context, img *image, tag string) (string, error) {
	if h.composefs == nil {
		return "–", nil
	}
	before := h.composefs.CPU()
	if err := h.composefs.Import(ctx, "oci:"+img.layout, tag); err != nil {
		return "", err
	}
	if _, err := h.composefs.ID(ctx, tag, true); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f", (h.composefs.CPU() - before).Seconds()), nil
}

// imports prints a row for each version of a layout, imported in turn.
func (b *bench) imports(ctx context.Context, name, dir string, tags []string, encapsulated bool) (err error) {
	work, err := os.MkdirTemp(b.work, "hosts-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	h, err := b.newHosts(ctx, work, encapsulated)
	if err != nil {
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
		onOstree, err := h.onOstree(ctx, img)
		if err != nil {
			return fmt.Errorf("%s: %w", img.layout, err)
		}
		onComposefs, err := h.onComposefs(ctx, img, tag)
		if err != nil {
			return fmt.Errorf("%s: %w", img.layout, err)
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
