package rechunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/scan"
)

// ErrNotAdopted marks an image that cannot be taken for one that was served before.
var ErrNotAdopted = errors.New("image cannot be taken as the lineage's")

// Adopt takes an image that was published before as the first version of a lineage that has none: the state was lost, or the
// image was rechunked elsewhere, and clients have its layers. They are read from the request's source, verified and stored.
// It reports whether the image was taken; a lineage that has versions stays as it is.
func (e *Engine) Adopt(ctx context.Context, req Request) (adopted bool, err error) {
	req.Options.Always, req.Options.Platforms = true, nil
	r := e.newRun(req)
	defer r.close()
	err = r.do(ctx, toAdopt)
	return r.adopted && err == nil, err
}

// adopt does the work of Adopt under the lineage's lock.
func (r *run) adopt(ctx context.Context) error {
	key := lineageKey(r.req.Lineage, r.platform())
	var l Lineage
	if _, err := r.getJSON(ctx, KindLineage, key, &l); err != nil || len(l.Versions) > 0 {
		return err
	}
	v, err := r.storePublished(ctx)
	if err != nil {
		return err
	}
	r.adopted = true
	return r.putLineage(ctx, key, r.held, []Version{*v}, nil)
}

// storePublished stores the image's layers, config and manifest and makes the version that they are.
func (r *run) storePublished(ctx context.Context) (*Version, error) {
	m := r.src.Manifest
	if err := r.checkTypes(); err != nil {
		return nil, err
	}
	layers := make([]VersionLayer, len(m.Layers))
	names := r.src.LayerNames()
	err := r.each(ctx, positions(len(layers)), func(ctx context.Context, i int) (err error) {
		layers[i], err = r.adoptLayer(ctx, m.Layers[i], r.src.Config.RootFS.DiffIDs[i], names[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, b := range [][]byte{r.src.RawConfig, r.req.Manifest} {
		if err := r.storeDocument(ctx, b); err != nil {
			return nil, fmt.Errorf("storing the earlier image: %w", err)
		}
	}
	v := r.published(layers, 1)
	v.Created = time.Now().UTC()
	if source := digest.Digest(m.Annotations[image.AnnotationSource]); source.Validate() == nil {
		v.SourceDigest = source
	}
	return v, nil
}

// checkTypes refuses an image whose layers are not of the type that new ones would be of, or that is of another form.
func (r *run) checkTypes() error {
	switch has, want := r.formOfSource(), r.form(); {
	case has != want && want == FormOSTree:
		return fmt.Errorf("%w: new ones would be in ostree's form, and it is not", ErrNotAdopted)
	case has != want:
		return fmt.Errorf("%w: it is in ostree's form, and new ones would not be", ErrNotAdopted)
	case has == FormOSTree && len(r.derivedFrom()) > 0:
		return fmt.Errorf("%w: it has layers above its ostree commit", ErrNotAdopted)
	}
	f := r.req.Options.Format
	for _, l := range r.src.Manifest.Layers {
		if !r.keeps(l.MediaType, l.Annotations) {
			return fmt.Errorf("%w: its layer %s is of type %s, and new ones would be of format %s", ErrNotAdopted, l.Digest,
				l.MediaType, f.Spec().Name)
		}
	}
	return nil
}

// published is the version that an image is which was made elsewhere. All its layers count as new.
func (r *run) published(layers []VersionLayer, sequence int) *Version {
	v := &Version{
		Result: Result{
			SourceDigest: r.req.Digest, Digest: r.req.Digest, MediaType: ocispec.MediaTypeImageManifest,
			Size:     int64(len(r.req.Manifest)),
			Platform: r.platform(), LayersTotal: len(layers), LayersNew: len(layers), Sequence: sequence,
		},
		Config: r.src.Manifest.Config.Digest, Reference: r.req.Reference, Layers: layers, Form: r.form(),
	}
	for _, l := range layers {
		v.TotalBytes += l.Size
	}
	v.NewBytes, v.SourceBytes, v.SourceNewBytes = v.TotalBytes, v.TotalBytes, v.TotalBytes
	return v
}

// adoptLayer reads one layer into the store and records what it holds. Its diff_id is checked: it will be in configs to
// come.
func (r *run) adoptLayer(ctx context.Context, d ocispec.Descriptor, diffID digest.Digest, name string) (VersionLayer,
	error) {
	out := VersionLayer{Digest: d.Digest, DiffID: diffID, Size: d.Size, Type: d.MediaType, Annotations: d.Annotations,
		Name: name, Since: 1}
	rc, err := r.req.Source.Blob(ctx, d)
	if err != nil {
		return out, fmt.Errorf("fetching layer %s: %w", d.Digest, err)
	}
	defer rc.Close()
	var s *scan.Result
	_, err = r.storeBlob(ctx, func(w io.Writer) error {
		s, err = scan.Layer(ctx, io.TeeReader(rc, w), scan.Options{DiffID: true, Inline: inlined, Limits: r.cfg.Limits})
		return err
	})
	if err != nil {
		return out, fmt.Errorf("reading layer %s: %w", d.Digest, err)
	}
	if got := digest.NewDigestFromEncoded(digest.SHA256, s.DiffID.String()); got != diffID {
		return out, fmt.Errorf("%w: layer %s has the diff_id %s, its config says %s", ErrNotAdopted, d.Digest, got, diffID)
	}
	out.TarSize = s.Index.TarSize
	if out.Name, err = r.judge(ctx, d.Digest, s.Index, name); err != nil {
		return out, err
	}
	return out, r.saveIndex(ctx, d.Digest, s.Index)
}
