package oneshot

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/edge/encoder"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/layer"
)

// artifactRef is the reference of a delta artifact: one of the forms of package imageref, or the name of a file, which is an
// archive.
func artifactRef(name string) (imageref.Ref, error) {
	for _, prefix := range []string{"oci:", "oci-archive:", "docker://"} {
		if strings.HasPrefix(name, prefix) {
			return imageref.Parse(name)
		}
	}
	return imageref.Parse("oci-archive:" + name)
}

// spare refuses a place where what is written takes that of an input, or of images that an archive has under other names.
func spare(ctx context.Context, to imageref.Ref, o Options, inputs ...string) error {
	for _, input := range inputs {
		in, err := imageref.Parse(input)
		if err != nil {
			return err
		}
		if err := to.Spare(in); err != nil {
			return err
		}
	}
	return to.SpareOthers(ctx, imageref.Options{TempDir: o.TempDir})
}

// tools are what deltas are made and applied with in a workplace.
func (i *Inspector) tools(ctx context.Context) imagedelta.Tools {
	n := runtime.GOMAXPROCS(0)
	return imagedelta.Tools{Scratch: scratch.New(i.w.dir, nil), Parallel: n,
		Encoders: encoder.New(ctx, encoder.Options{Parallel: n})}
}

// image is an inspection with the way to its blobs.
func (x *Inspection) image() imagedelta.Image {
	return imagedelta.Image{Inspection: x.Inspection, Blob: x.from.Blob}
}

// Delta makes the artifact that leads from one image to another, and writes it to a file, or to a place in one of the forms
// of package imageref. It tells what it costs; with floor, what the changed files cost, too.
func Delta(ctx context.Context, old, next, file string, f imagedelta.Format, floor bool, o Options) (_ *compare.Deltas,
	err error) {
	to, err := artifactRef(file)
	if err != nil {
		return nil, err
	}
	if err := spare(ctx, to, o, old, next); err != nil {
		return nil, err
	}
	var costs *compare.Deltas
	err = withBoth(ctx, old, next, o, func(i *Inspector, a, b *Inspection) error {
		out, err := to.Create(ctx, imageref.Options{Insecure: o.Insecure})
		if err != nil {
			return err
		}
		_, raw, _ := b.from.Manifest()
		made, err := imagedelta.Make(ctx, a.image(), b.image(), raw, f, out, i.tools(ctx))
		if err == nil {
			err = out.PutManifest(ctx, ocispec.MediaTypeImageManifest, made.Manifest)
		}
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("delta from %s to %s: %w", old, next, err)
		}
		costs = made.Costs
		if !floor {
			return nil
		}
		costs.FloorBytes, err = floorOf(ctx, a, b)
		return err
	})
	return costs, err
}

// floorOf is the size of the changed files in one layer.
func floorOf(ctx context.Context, a, b *Inspection) (int64, error) {
	c, err := compare.Update(ctx, a.Inspection, b.Inspection, layer.Zstd)
	if err != nil {
		return 0, err
	}
	return c.FloorBytes, nil
}

// Apply makes the image that an artifact leads to of the old one, and writes it to dst.
func Apply(ctx context.Context, old, file, dst string, o Options) (_ *imagedelta.Applied, err error) {
	to, err := imageref.Parse(dst)
	if err != nil {
		return nil, err
	}
	ref, err := artifactRef(file)
	if err != nil {
		return nil, err
	}
	if err := spare(ctx, to, o, old, ref.String()); err != nil {
		return nil, err
	}
	s, err := ref.Open(ctx, imageref.Options{Platform: o.Platform, Insecure: o.Insecure})
	if err != nil {
		return nil, err
	}
	from := source{s}
	defer func() { err = errors.Join(err, from.Close()) }()
	_, raw, _ := from.Manifest()
	a, err := ocidelta.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	i, err := NewInspector(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	x, err := i.Inspect(ctx, old)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	out, err := to.Create(ctx, imageref.Options{Insecure: o.Insecure, Whole: true})
	if err != nil {
		return nil, err
	}
	made, err := imagedelta.Apply(ctx, x.image(), a, from.Blob, out, i.tools(ctx))
	if err == nil {
		err = out.PutManifest(ctx, made.MediaType, made.Manifest)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("applying %s to %s: %w", file, old, err)
	}
	return made, nil
}
