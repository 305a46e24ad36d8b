package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
)

func options(r config.Rule) rechunk.Options {
	format := layer.Compressed(r.Format)
	if r.Format == config.FormatOSTree {
		format = layer.Zstd
	}
	return rechunk.Options{
		Always: r.Rechunk == config.RechunkAlways, MaxLayers: r.MaxLayers, MaxStale: float64(r.MaxStale),
		LayerCost: int64(r.LayerCost),
		Format:    format, OSTree: r.Format == config.FormatOSTree, ExactTime: r.MTime == config.MTimePreserve,
		OwnLinks: r.Hardlinks == config.HardlinksPreserve, KeepNoise: r.Noise == config.NoiseKeep,
		Versions: r.KeepVersions, Platforms: r.Platforms,
	}
}

// RequestOf is the engine's request for an image that a tag of a repository, or a digest, leads to, without the image: the
// lineage, the series in it, and the options that the rule asks for.
func RequestOf(repo name.Repository, ref name.Reference, rule config.Rule) rechunk.Request {
	series := source{repo: repo, ref: ref}.reference()
	return rechunk.Request{Lineage: rule.Family, Reference: series, Options: options(rule)}
}

// attempt asks the engine. A panic on one image must not take the proxy away from all others.
func (q *Queue) attempt(ctx context.Context, j *job, manifest []byte, src rechunk.Source) (result *rechunk.Result,
	err error) {
	err = q.Work.Catch(ctx, "job", func() (err error) {
		result, err = q.rechunk(ctx, j, manifest, src)
		return err
	})
	return result, err
}

func (q *Queue) rechunk(ctx context.Context, j *job, manifest []byte, src rechunk.Source) (_ *rechunk.Result, err error) {
	demand, err := q.Demand.Demand(ctx, j.rule.Family)
	if err != nil {
		q.Logger.WarnContext(ctx, "what clients pulled is not known, the default mix is planned for", "job", j.id, "error",
			err)
	}
	// Somebody may have tidied up. The directory is ours to make.
	if err := os.MkdirAll(q.WorkDir, 0o700); err != nil {
		return nil, fmt.Errorf("directory for temporary files: %w", err)
	}
	req := RequestOf(j.repo, j.ref, j.rule)
	note, ended := j.phased(ctx)
	defer func() { ended(err) }()
	req.Demand, req.Digest, req.Manifest, req.Source, req.Progress = demand, j.digest, manifest, src, note
	if err := q.adopt(ctx, j, req); err != nil {
		return nil, err
	}
	return q.Engine.Rechunk(ctx, req)
}

// foundDamage reports whether a job failed on a stored blob of its image that is gone now, as it was not what its
// digest says: either the job came upon it, and it was put aside where it was read, or it is found here. No others are
// left in either case.
func (q *Queue) foundDamage(ctx context.Context, err error, manifest []byte) bool {
	return q.Blobs.DropDamaged(ctx, manifest) || errors.Is(err, chunkstore.ErrCorrupt)
}

// adopt lets the lineage of an image begin with the image itself, where it was made by Strata already, in a build
// pipeline: hosts that pulled it from its registry have those layers. Images that carry no such annotation, and
// lineages that have versions, are left.
func (q *Queue) adopt(ctx context.Context, j *job, req rechunk.Request) error {
	m, err := image.ReadManifest(req.Manifest)
	if err != nil || digest.Digest(m.Annotations[image.AnnotationSource]).Validate() != nil {
		return nil
	}
	adopted, err := q.Engine.Adopt(ctx, req)
	log := q.Logger.With("job", j.id, "repository", j.repo.String(), "reference", string(j.ref), "source", j.digest.String())
	switch {
	case errors.Is(err, rechunk.ErrNotAdopted), errors.Is(err, rechunk.ErrPassThrough):
		log.InfoContext(ctx, "layers of an image that was rechunked elsewhere are not kept", "reason", err)
		return nil
	case adopted:
		log.InfoContext(ctx, "image was rechunked elsewhere: its layers begin the lineage", "lineage", req.Lineage)
	}
	return err
}
