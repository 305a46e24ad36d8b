package oneshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrDiffers says that an image is not what can be made of its source.
var ErrDiffers = errors.New("it is not what its source holds")

// Origin makes the artifact by which CheckOrigin finds that an image was made of a source: it leads from one to the other.
// An error that wraps ErrDiffers says why there is none.
func (i *Inspector) Origin(ctx context.Context, served, source imageref.Source, sink imagedelta.Sink) ([]byte, error) {
	return i.between(ctx, served, source, func(a, b *Inspection) ([]byte, error) {
		if err := madeOf(ctx, b, a); err != nil {
			return nil, err
		}
		// Contents are the same, so that nothing is wrapped anew; and any machine can apply it.
		t := i.tools(ctx)
		t.Encoders = nil
		return artifact(ctx, a, b, sink, t)
	})
}

// CheckOrigin returns nil if an image holds what its source holds, to which an artifact of Origin leads. The source's layers
// are made of the image and the artifact, and held to the diff_ids of the source's config. Whether the source is any good,
// the caller knows by the digest of its manifest, which the artifact names and open has verified.
func (i *Inspector) CheckOrigin(ctx context.Context, served imageref.Source, artifact []byte,
	open imagedelta.Open) error {
	made := &layers{chunks: i.w.chunks}
	applied, err := i.Apply(ctx, served, artifact, open, made)
	if err != nil {
		return err
	}
	made.mediaType, made.raw, made.digest = applied.MediaType, applied.Manifest, applied.Digest
	_, err = i.between(ctx, made, served, func(a, b *Inspection) ([]byte, error) { return nil, madeOf(ctx, a, b) })
	return err
}

// madeOf compares an image with its source as Verify does, with what Strata changes and nothing more: no noise, no labels or
// annotations that the source lacks and clients go by, nothing in /sysroot, and layers as Strata writes them. Of a layer's
// own annotations those are that lead to a table of contents, which has to say what the layer holds.
func madeOf(ctx context.Context, source, served *Inspection) error {
	tables, err := served.Tables(ctx)
	if err != nil {
		return err
	}
	if len(tables) > 0 {
		return fmt.Errorf("%w: %s", ErrDiffers, tables[0])
	}
	if diffs := compare.Differences(source.Inspection, served.Inspection, tree.DiffOptions{Most: 1}); len(diffs) > 0 {
		return fmt.Errorf("%w: %s", ErrDiffers, diffs[0])
	}
	commit, err := commitOf(ctx, source, served)
	if err != nil {
		return err
	}
	if err := says(source, served, commit); err != nil {
		return err
	}
	for n, l := range served.Image.Manifest.Layers {
		if !written(l, commit != nil) {
			return fmt.Errorf("%w: layer %s is of a form that is not compared", ErrDiffers, l.Digest)
		}
		for _, e := range served.Layers[n].Entries {
			if commit == nil && e.Path != "sysroot" && tree.Within(e.Path, "sysroot") {
				return fmt.Errorf("%w: %.200q", ErrDiffers, e.Path)
			}
		}
	}
	return nil
}

// commitOf is the commit that an image in ostree's form has by its source; nil for an image in another form. Hosts go by its
// objects, and not by the names that Differences compares.
func commitOf(ctx context.Context, source, served *Inspection) (*image.Commit, error) {
	if served.Image.Config.Config.Labels[image.LabelCommit] == "" {
		return nil, nil
	}
	c, err := served.CommitOf(ctx, source.Inspection)
	if errors.Is(err, rechunk.ErrNotSame) || errors.Is(err, rechunk.ErrPassThrough) {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	return c, err
}

// says compares what an image says of itself with what an image of the source says that has its layers. What the source is
// called, the caller knows.
func says(source, served *Inspection, commit *image.Commit) error {
	made := image.Made{Plain: image.Bootable(&source.Image.Config), Commit: commit}
	of, err := image.With(source.Image, served.Image, made)
	if err != nil {
		return err
	}
	config, err := image.DiffConfigs(of, served.Image)
	if err != nil {
		return err
	}
	if len(config) > 0 {
		return fmt.Errorf("%w: %s", ErrDiffers, config[0])
	}
	for name, value := range served.Image.Manifest.Annotations {
		if of.Manifest.Annotations[name] != value && name != image.AnnotationSource {
			return fmt.Errorf("%w: annotation %.100q", ErrDiffers, name)
		}
	}
	return nil
}

// written reports whether a layer has the type of one that Strata writes, and nothing that clients could go by instead but
// for a table of contents. A layer of objects may name its components.
func written(l ocispec.Descriptor, objects bool) bool {
	for name := range l.Annotations {
		if objects && name == rechunk.ComponentsNote {
			continue
		}
		if !toc.IsAnnotation(name) || !toc.Told(l.Annotations) {
			return false
		}
	}
	return len(l.URLs) == 0 && slices.ContainsFunc(layer.Formats(), func(f layer.Format) bool {
		return f.Spec().MediaType == l.MediaType
	})
}

// layers are those of an image that is made in the workplace's store.
type layers struct {
	chunks    *chunkstore.Store
	mediaType string
	raw       []byte
	digest    digest.Digest
}

var _ imageref.Source = (*layers)(nil)

// PutBlob implements imagedelta.Sink.
func (l *layers) PutBlob(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	return l.chunks.PutFrom(ctx, chunkstore.Expected{Digest: d.Digest, Size: d.Size}, r)
}

// Manifest implements imageref.Source, and so do the next two.
func (l *layers) Manifest() (string, []byte, digest.Digest) { return l.mediaType, l.raw, l.digest }

// Blob opens a layer, or the config.
func (l *layers) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	c, err := l.chunks.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{verify.NewReader(c, d, size), c}, nil
}

// Close does nothing: the store is the workplace's.
func (l *layers) Close() error { return nil }
