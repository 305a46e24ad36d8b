package oneshot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Compare works out what an update from one image to another costs a client; with a format of deltas, what it costs one that
// takes them, too. Where the state directory has the plan of the new one, the reasons are the plan's. Nothing is written to
// it.
func Compare(ctx context.Context, old, next string, f layer.Format, deltas imagedelta.Format, o Options) (
	out *compare.Comparison, err error) {
	state := o.State
	o.State = ""
	err = withBoth(ctx, old, next, o, func(i *Inspector, a, b *Inspection) error {
		if out, err = compare.Update(ctx, a.Inspection, b.Inspection, f); err != nil {
			return err
		}
		if out.Contents, err = compare.WhatIsNew(ctx, a.Inspection, b.Inspection); err != nil {
			return err
		}
		if deltas != "" {
			_, raw, _ := b.from.Manifest()
			made, err := imagedelta.Make(ctx, a.image(), b.image(), raw, deltas, nil, i.tools(ctx))
			if err != nil {
				return err
			}
			out.Deltas = made.Costs
			out.Deltas.FloorBytes = out.FloorBytes
		}
		if state == "" {
			return nil
		}
		p, err := recorded(ctx, state, b.Image.Digest, o)
		if p != nil {
			out.Planned(*p)
		}
		return err
	})
	return out, err
}

// recorded reads the plan of an image from a state directory; nil when it has none.
func recorded(ctx context.Context, dir string, d digest.Digest, o Options) (*rechunk.PlanRecord, error) {
	chunks, err := readState(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	st := state.New(chunks, o.Logger, nil)
	return rechunk.New(rechunk.Config{Store: st, Records: st, Logger: o.Logger}).PlanOf(ctx, d)
}

// readState opens a state directory for reading alone: it must be there, and nothing in it is tidied up.
func readState(ctx context.Context, dir string, o Options) (*chunkstore.Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "v1", "format")); err != nil {
		return nil, fmt.Errorf("state directory %s holds no store: %w: strata rechunk --state and strata serve make one",
			dir, err)
	}
	driver, err := chunkstore.OpenDriver(ctx, "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		return nil, err
	}
	chunks, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", root, err)
	}
	return chunks, nil
}

// Verification is the outcome of Verify.
type Verification struct {
	Same        bool              `json:"same"`
	Differences []tree.Difference `json:"differences"`
	// Noise are files that are no difference: they differ in build noise only, and one of the images says that it keeps
	// such.
	Noise []rechunk.KeptFile `json:"noise,omitempty"`
	// Config are the differences between the configs; those that say why are none.
	Config []image.Difference `json:"config"`
	// AsItIs is why the proxy serves such an image as it is, in its source's layers; empty for one that it rechunks.
	AsItIs string `json:"as_it_is,omitempty"`
}

// Verify compares the filesystems of two images, as compare.Differences does, and their configs, as image.DiffConfigs does.
// A layer's table of contents has to say what the layer holds.
// At most so many differences of the filesystems are listed; 0 lists all. times compares modification times, too. The second
// image is taken for the served one, unless only the first says that it keeps noise.
func Verify(ctx context.Context, a, b string, times bool, most int, o Options) (*Verification, error) {
	out := &Verification{Differences: []tree.Difference{}, Config: []image.Difference{}}
	err := inspectBoth(ctx, a, b, o, func(x, y *rechunk.Inspection) error {
		if compare.KeepsNoise(x) && !compare.KeepsNoise(y) {
			x, y = y, x
		}
		diffs, noise, err := compare.WithNoise(ctx, x, y, tree.DiffOptions{Times: times, Most: most})
		if err != nil {
			return err
		}
		out.Differences, out.Noise = append(out.Differences, diffs...), noise
		for _, i := range []*rechunk.Inspection{x, y} {
			tables, err := i.Tables(ctx)
			if err != nil {
				return err
			}
			out.Differences = append(out.Differences, tables...)
		}
		if why := x.AsItIs(ctx); why != nil && y.Image.Config.Config.Labels[image.LabelCommit] == "" {
			out.AsItIs = why.Error()
		}
		config, err := image.DiffConfigs(x.Image, y.Image)
		out.Config = append(out.Config, config...)
		return err
	})
	explained := func(d image.Difference) bool { return d.Why != "" }
	out.Same = len(out.Differences) == 0 && len(slices.DeleteFunc(slices.Clone(out.Config), explained)) == 0
	return out, err
}
