package layouts

import (
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// Image is an image of a layout, as far as an import needs it.
type Image struct {
	Name  string          // DIR:TAG
	Order []digest.Digest // of its layers, lowest first

	layers map[digest.Digest]v1.Layer
}

// OpenImage opens the image of a layout that has a tag.
func OpenImage(dir, tag string) (*Image, error) {
	img, err := Open(dir, tag)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	i := &Image{Name: dir + ":" + tag, layers: map[digest.Digest]v1.Layer{}}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		d := digest.Digest(h.String())
		i.Order = append(i.Order, d)
		i.layers[d] = l
	}
	return i, nil
}

// Layer opens the uncompressed tar of a layer.
func (i *Image) Layer(d digest.Digest) (io.ReadCloser, error) { return i.layers[d].Uncompressed() }

// Missing counts the layers that a host does not have, which it has from now on, and their compressed bytes.
func (i *Image) Missing(has map[digest.Digest]bool) (layers int, size int64, err error) {
	for _, d := range i.Order {
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
