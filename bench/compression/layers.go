package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// file is an entry of a layer as it stands in the archive, header, content and padding.
type file struct {
	header *tar.Header
	raw    []byte
}

// eachLayer takes the layers of an image apart, one after another.
func eachLayer(ctx context.Context, ref string, do func([]file) error) error {
	r, err := imageref.Parse(ref)
	if err != nil {
		return err
	}
	src, err := r.Open(ctx, imageref.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	_, raw, _ := src.Manifest()
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for _, l := range m.Layers {
		files, err := readLayer(ctx, src, l)
		if err == nil {
			err = do(files)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readLayer(ctx context.Context, src imageref.Source, l ocispec.Descriptor) ([]file, error) {
	blob, err := src.Blob(ctx, l.Digest, l.Size)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	plain, err := scan.Decompress(blob, tree.Limits{})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(plain); err != nil {
		return nil, err
	}
	whole := bytes.NewReader(b.Bytes())
	archive := tar.NewReader(whole)
	var files []file
	for start := 0; ; {
		h, err := archive.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, archive); err != nil {
			return nil, err
		}
		end := (b.Len() - whole.Len() + 511) &^ 511
		files = append(files, file{h, b.Bytes()[start:end]})
		start = end
	}
}

// order is a way to put the entries of a layer, directories first but for byPath. A hardlink may come before its target
// here.
type order struct {
	name string
	less func(a, b file) int
}

var byPath = order{"path", nil}

// orders are what was tried: kind and name bring similar files together, the size does it with equal ones.
var orders = []order{
	byPath,
	{"extension and size", func(a, b file) int {
		return cmp.Or(cmp.Compare(extension(a), extension(b)), cmp.Compare(len(a.raw), len(b.raw)))
	}},
	{"extension and path", func(a, b file) int { return cmp.Compare(extension(a), extension(b)) }},
	{"directory, extension and size", func(a, b file) int {
		return cmp.Or(cmp.Compare(path.Dir(a.header.Name), path.Dir(b.header.Name)), cmp.Compare(extension(a), extension(b)),
			cmp.Compare(len(a.raw), len(b.raw)))
	}},
	{"base name", func(a, b file) int { return cmp.Compare(path.Base(a.header.Name), path.Base(b.header.Name)) }},
}

func (o order) sort(files []file) {
	if o.less == nil {
		return
	}
	kind := func(f file) int {
		switch f.header.Typeflag {
		case tar.TypeDir:
			return 0
		case tar.TypeReg:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(files, func(a, b file) int { return cmp.Or(cmp.Compare(kind(a), kind(b)), o.less(a, b)) })
}

// extension tells what a file is by its name: "so" for libfoo.so.1.2, too.
func extension(f file) string {
	name := path.Base(f.header.Name)
	if strings.Contains(name, ".so.") {
		return ".so"
	}
	if e := path.Ext(name); e != name {
		return e
	}
	return ""
}
