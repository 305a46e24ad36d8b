package static

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/ociarchive"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// openedImage is an image that is read.
type openedImage struct {
	Options
	source imageref.Source
	plain  *ociarchive.Plain
	total  int64 // bytes of them
	done   int64
}

// openImage reads what an image consists of.
func openImage(ctx context.Context, source imageref.Source, o Options) (*openedImage, error) {
	_, raw, _ := source.Manifest()
	m, err := image.ParseManifest(raw)
	if err != nil {
		return nil, err
	}
	r, err := source.Blob(ctx, m.Config.Digest, m.Config.Size)
	if err != nil {
		return nil, err
	}
	config, err := io.ReadAll(io.LimitReader(r, image.MaxDocument+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	i := &openedImage{Options: o, source: source}
	if i.plain, err = ociarchive.NewPlain(raw, config); err != nil {
		return nil, err
	}
	for _, d := range i.plain.Blobs() {
		i.total += d.Size
	}
	return i, nil
}

// spool sends the layers' tar streams, in nameless files: how long one is stands before it in an archive, and is not known
// before all of it was decompressed.
func (i *openedImage) spool(ctx context.Context, to chan<- *os.File) error {
	blobs := i.plain.Blobs()
	for n, d := range i.plain.Layers() {
		f, err := i.spoolLayer(ctx, blobs[n], d)
		if err != nil {
			return fmt.Errorf("layer %s: %w", blobs[n].Digest, err)
		}
		select {
		case to <- f:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), f.Close())
		}
	}
	return nil
}

func (i *openedImage) spoolLayer(ctx context.Context, blob ocispec.Descriptor, diffID digest.Digest) (_ *os.File,
	err error) {
	f, err := os.CreateTemp(i.TempDir, "strata-layer-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	r, err := i.source.Blob(ctx, blob.Digest, blob.Size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	lim := tree.Limits{}.OrDefault()
	tar, err := scan.Decompress(&counted{r, i}, lim)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	check := diffID.Verifier()
	size, err := io.Copy(io.MultiWriter(f, check), io.LimitReader(tar, lim.LayerBytes+1))
	switch {
	case err != nil:
		return nil, err
	case size > lim.LayerBytes:
		return nil, fmt.Errorf("%w: more than %d bytes when decompressed", tree.ErrLimit, lim.LayerBytes)
	case !check.Verified():
		return nil, fmt.Errorf("%w: its tar stream is not that of its diff_id %s", image.ErrInvalid, diffID)
	}
	return f, nil
}

// counted tells how much was read.
type counted struct {
	r     io.Reader
	image *openedImage
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.image.done += int64(n); c.image.Progress != nil {
		c.image.Progress(c.image.done, c.image.total)
	}
	return n, err
}
