package rechunk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/scan"
)

// Made says what an image was made of that another engine made.
type Made struct {
	// Source is the source's digest, and Layers are its layers, lowest first.
	Source digest.Digest
	Layers []ocispec.Descriptor
	// Proven says that the image is known to be the source's filesystem: it is what is served of that from then on.
	Proven bool
}

// Take makes an image that another engine made, and that is stored, the newest version of its lineage, so that the next one
// is laid out after it. Its layers are read, and their diff_ids checked. One that the lineage has is not moved. Where new
// layers would have another format the image is not taken, with an error that wraps ErrNotAdopted. The request is that of
// the source, but for its manifest and digest, which are the image's.
func (e *Engine) Take(ctx context.Context, req Request, of Made) (taken bool, err error) {
	r := e.newRun(req)
	r.made = &of
	defer r.close()
	err = r.do(ctx, toTake)
	return r.adopted && err == nil, err
}

// take does the work of Take under the lineage's lock.
func (r *run) take(ctx context.Context) error {
	key := lineageKey(r.req.Lineage, r.platform())
	if _, err := r.getJSON(ctx, KindLineage, key, &r.lineage); err != nil {
		return err
	}
	v, err := r.takenVersion(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(r.lineage.Versions, func(old Version) bool { return old.Digest == v.Digest }) {
		if err := r.takeIn(ctx, key, *v); err != nil {
			return err
		}
		r.adopted = true
	}
	if !r.made.Proven {
		return nil
	}
	req := r.req
	req.Digest = r.made.Source
	return r.putJSON(ctx, KindServed, servedKey(req), v)
}

// takeIn writes the lineage with a version more. What was observed to change before stays.
func (r *run) takeIn(ctx context.Context, key string, v Version) error {
	versions := foremost(slices.Insert(slices.Clone(r.lineage.Versions), 0, v), v.Reference, max(r.req.Options.Versions, 1))
	return r.putLineage(ctx, key, r.held, versions, nil)
}

// takenVersion makes the version that a stored image is.
func (r *run) takenVersion(ctx context.Context) (*Version, error) {
	if err := r.checkTypes(); err != nil {
		return nil, err
	}
	layers := make([]VersionLayer, len(r.src.Manifest.Layers))
	names := r.src.LayerNames()
	sequence := r.sequence()
	err := r.each(ctx, positions(len(layers)), func(ctx context.Context, i int) (err error) {
		layers[i], err = r.takeLayer(ctx, i, names[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	v := r.published(layers, sequence)
	var old Version // that it came after
	if b := before(r.lineage.Versions, r.req.Reference); b != nil {
		old = *b
	}
	r.compare(v, old)
	v.Created = time.Now().UTC()
	return v, nil
}

// compare notes what a version has new, of its own and of its source's layers.
func (r *run) compare(v *Version, old Version) {
	v.LayersNew, v.NewBytes = 0, 0
	for i := range v.Layers {
		l := &v.Layers[i]
		k := slices.IndexFunc(old.Layers, func(had VersionLayer) bool { return had.Digest == l.Digest })
		if l.Kept = k >= 0; l.Kept {
			l.Since, l.Encoder = old.Layers[k].Since, old.Layers[k].Encoder
			v.LayersKept++
			continue
		}
		v.LayersNew++
		v.NewBytes += l.Size
	}
	v.SourceDigest, v.SourceLayers, v.SourceBytes, v.SourceNewBytes = r.made.Source, nil, 0, 0
	for _, l := range r.made.Layers {
		v.SourceLayers = append(v.SourceLayers, l.Digest)
		v.SourceBytes += l.Size
		if !slices.Contains(old.SourceLayers, l.Digest) {
			v.SourceNewBytes += l.Size
		}
	}
}

// takeLayer reads a stored layer for what it holds, and records that.
func (r *run) takeLayer(ctx context.Context, i int, name string) (VersionLayer, error) {
	d, diffID := r.src.Manifest.Layers[i], r.src.Config.RootFS.DiffIDs[i]
	out := VersionLayer{Digest: d.Digest, DiffID: diffID, Size: d.Size, Type: d.MediaType, Annotations: d.Annotations,
		Name:  name,
		Since: r.sequence()}
	rc, err := r.cfg.Store.Open(ctx, d.Digest)
	if err != nil {
		return out, fmt.Errorf("opening layer %s: %w", d.Digest, err)
	}
	defer rc.Close()
	s, err := scan.Layer(ctx, rc, scan.Options{DiffID: true, Inline: inlined, Limits: r.cfg.Limits})
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
