package imagedelta

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/rescue"
)

// Applied is an image that was made of an artifact. Its blobs are in the sink; the manifest is for the caller to put behind
// them.
type Applied struct {
	// Target is the digest of the manifest that the artifact leads to, Digest that of Manifest.
	Target    digest.Digest `json:"target"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"media_type"`
	Manifest  []byte        `json:"-"`
	// Exact says that both are the same: every blob was made again byte for byte. Otherwise only the diff_ids are those of
	// the target, and Manifest names blobs that were compressed anew.
	Exact  bool           `json:"exact"`
	Layers []AppliedLayer `json:"layers"`
}

// AppliedLayer is a layer of an image that was made of an artifact.
type AppliedLayer struct {
	// Target is the digest of the target's blob, Digest and Size are of the one that was made.
	Target digest.Digest `json:"target"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// How is "reused" for a layer of the old image, "whole" for one that the artifact holds, "delta" for what was made.
	How string `json:"how"`
	// DeltaBytes is the size of the blob in the artifact; 0 for a reused layer.
	DeltaBytes int64 `json:"delta_bytes"`
	Exact      bool  `json:"exact"`
}

// Open opens a blob of an artifact. A read to io.EOF has verified it.
type Open func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)

// applier makes one image.
type applier struct {
	old    Image
	a      *ocidelta.Artifact
	open   Open
	sink   Sink
	tools  Tools
	target *image.Source
	raw    []byte // the target's manifest
	have   map[digest.Digest]int
	layers map[digest.Digest]ocidelta.Layer
}

// Apply makes the image that an artifact leads to of the old one. Errors wrap ErrOtherSource, ErrWrong, ocidelta.ErrInvalid,
// those of the layers' formats, or are those of old, open, the sink and ctx.
func Apply(ctx context.Context, old Image, a *ocidelta.Artifact, open Open, sink Sink, t Tools) (*Applied, error) {
	if a.SourceConfig != old.Image.Manifest.Config.Digest {
		return nil, fmt.Errorf("%w: its source has the config %s, this one %s", ErrOtherSource, a.SourceConfig,
			old.Image.Manifest.Config.Digest)
	}
	p := &applier{old: old, a: a, open: open, sink: sink, tools: t, have: diffIDs(old),
		layers: map[digest.Digest]ocidelta.Layer{}}
	for _, l := range a.Layers {
		p.layers[l.To] = l
	}
	if err := p.describe(ctx); err != nil {
		return nil, err
	}
	out := &Applied{Target: a.Target.Digest, Digest: a.Target.Digest, MediaType: a.Target.MediaType, Manifest: p.raw,
		Exact: true}
	var err error
	if out.Layers, err = p.all(ctx); err != nil {
		return nil, err
	}
	for _, l := range out.Layers {
		out.Exact = out.Exact && l.Exact
	}
	if err := sink.PutBlob(ctx, plain(p.target.Manifest.Config), bytes.NewReader(p.target.RawConfig)); err != nil {
		return nil, fmt.Errorf("storing the config: %w", err)
	}
	if !out.Exact {
		if out.Manifest, err = renamed(p.raw, out.Layers); err != nil {
			return nil, err
		}
		out.Digest = digest.FromBytes(out.Manifest)
	}
	return out, nil
}

// describe reads the target's manifest and config.
func (p *applier) describe(ctx context.Context) (err error) {
	if p.raw, err = p.document(ctx, p.a.Target); err != nil {
		return fmt.Errorf("the target's manifest: %w", err)
	}
	m, err := image.ParseManifest(p.raw)
	if err != nil {
		return fmt.Errorf("the target's manifest: %w", err)
	}
	if m.Config.Digest != p.a.Config.Digest {
		return fmt.Errorf("%w: it holds a config that is not the target's", ocidelta.ErrInvalid)
	}
	raw, err := p.document(ctx, p.a.Config)
	if err != nil {
		return fmt.Errorf("the target's config: %w", err)
	}
	c, err := image.ParseConfig(m, raw)
	if err != nil {
		return fmt.Errorf("the target's config: %w", err)
	}
	p.target = &image.Source{Digest: p.a.Target.Digest, Manifest: *m, RawConfig: raw, Config: *c}
	return nil
}

func (p *applier) document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	rc, err := p.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(io.LimitReader(rc, image.MaxDocument+1))
}

// all makes the target's layers, several at the same time.
func (p *applier) all(ctx context.Context) ([]AppliedLayer, error) {
	out := make([]AppliedLayer, len(p.target.Manifest.Layers))
	first := map[digest.Digest]int{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(p.tools.Parallel, 1))
	for i, l := range p.target.Manifest.Layers {
		if _, twice := first[l.Digest]; twice {
			continue
		}
		first[l.Digest] = i
		g.Go(func() error {
			return rescue.Call(func() (err error) {
				if out[i], err = p.layer(gctx, i); err != nil {
					err = fmt.Errorf("layer %s: %w", l.Digest, err)
				}
				return err
			})
		})
	}
	err := g.Wait()
	for i, l := range p.target.Manifest.Layers {
		out[i] = out[first[l.Digest]]
	}
	return out, err
}

// layer makes one layer and stores it.
func (p *applier) layer(ctx context.Context, i int) (AppliedLayer, error) {
	l := p.target.Manifest.Layers[i]
	out := AppliedLayer{Target: l.Digest, Digest: l.Digest, Size: l.Size, Exact: true}
	from, inside := p.layers[l.Digest]
	n, reused := p.have[p.target.Config.RootFS.DiffIDs[i]]
	switch {
	case inside && !from.Whole():
		out.How, out.DeltaBytes = "delta", from.Blob.Size
		return p.again(ctx, i, from.Encoder, out, func(w io.Writer) error { return p.patched(ctx, w, i, from) })
	case inside:
		out.How, out.DeltaBytes = "whole", from.Blob.Size
		return p.kept(ctx, i, p.open, from.Blob, out)
	case reused:
		out.How = "reused"
		return p.kept(ctx, i, p.old.Blob, p.old.Image.Manifest.Layers[n], out)
	}
	return out, fmt.Errorf("%w: neither the delta nor the old image has it", ErrWrong)
}

// kept takes a layer over from where it is, or, where it is there in another compression, its tar stream.
func (p *applier) kept(ctx context.Context, i int, open Open, d ocispec.Descriptor, out AppliedLayer) (AppliedLayer, error) {
	if d.Digest != out.Target {
		return p.again(ctx, i, "", out, func(w io.Writer) error { return unpacked(ctx, w, open, d) })
	}
	rc, err := open(ctx, d)
	if err != nil {
		return out, err
	}
	defer rc.Close()
	return out, p.sink.PutBlob(ctx, plain(p.target.Manifest.Layers[i]), rc)
}
