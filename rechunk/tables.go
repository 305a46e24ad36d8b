package rechunk

import (
	"context"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Tables compares the tables of contents of the image's layers, by which clients make files that fetch layers in part, with
// what the layers hold. A table that says something else is a difference "table", with its layer as the path.
func (i *Inspection) Tables(ctx context.Context) ([]tree.Difference, error) {
	var out []tree.Difference
	for n, l := range i.Image.Manifest.Layers {
		if !toc.Told(l.Annotations) {
			continue
		}
		err := i.run.checkTable(ctx, l, i.Layers[n])
		if errors.Is(err, toc.ErrInvalid) {
			out = append(out, tree.Difference{Path: "layer " + l.Digest.String(), What: "table", A: "its tar stream",
				B: err.Error()})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the table of layer %s: %w", l.Digest, err)
		}
	}
	return out, nil
}

// checkTable compares a layer's table with what the layer holds.
func (r *run) checkTable(ctx context.Context, l ocispec.Descriptor, x *tree.Index) error {
	p, err := toc.Find(l.Annotations)
	if err != nil {
		return err
	}
	if p.TooLong() || p.Table.Offset+p.Table.Size > l.Size {
		return fmt.Errorf("%w: it is longer than clients take, or than its layer", toc.ErrInvalid)
	}
	rc, err := r.req.Source.Blob(ctx, l)
	if err != nil {
		return err
	}
	defer rc.Close()
	if _, err := io.CopyN(io.Discard, rc, p.Table.Offset); err != nil {
		return err
	}
	raw := make([]byte, p.Table.Size)
	if _, err := io.ReadFull(rc, raw); err != nil {
		return err
	}
	return toc.Check(raw, p, x)
}
