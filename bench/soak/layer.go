package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// layerHolds is what a layer adds and hides.
type layerHolds struct {
	files  listing
	hidden []string // paths of whiteouts
}

// readLayer reads a layer's blob, gzip or zstd.
func readLayer(b []byte) (layerHolds, error) {
	var plain io.Reader
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return layerHolds{}, err
		}
		plain = z
	} else {
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return layerHolds{}, err
		}
		defer z.Close()
		plain = z
	}
	return readTar(tar.NewReader(plain))
}

func readTar(t *tar.Reader) (layerHolds, error) {
	out := layerHolds{files: listing{}}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if hidden, ok := strings.CutPrefix(path.Base(name), ".wh."); ok {
			out.hidden = append(out.hidden, path.Join(path.Dir(name), hidden))
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			content, err := io.ReadAll(t)
			if err != nil {
				return out, err
			}
			out.files[name] = contentSum(content)
		case tar.TypeLink:
			out.files[name] = out.files[strings.TrimPrefix(h.Linkname, "./")]
		}
	}
}

// flatten applies layers, lowest first.
func flatten(layers []layerHolds) listing {
	out := listing{}
	for _, l := range layers {
		for _, hidden := range l.hidden {
			maps.DeleteFunc(out, func(p, _ string) bool { return p == hidden || strings.HasPrefix(p, hidden+"/") })
		}
		maps.Copy(out, l.files)
	}
	return out
}
