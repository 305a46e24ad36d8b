package demo

import (
	"context"
	"errors"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// checker takes apart what the clients pulled: are both the same filesystem, and what is the least that an update can cost?
type checker struct {
	inspector *oneshot.Inspector
	last      *oneshot.Inspection // the version before, nil at first
}

func newChecker(ctx context.Context) (*checker, error) {
	i, err := oneshot.NewInspector(ctx, oneshot.Options{})
	return &checker{inspector: i}, err
}

func (c *checker) close() error {
	var err error
	if c.last != nil {
		err = c.last.Close()
	}
	return errors.Join(err, c.inspector.Close())
}

// check completes a version: direct and through name its two images.
func (c *checker) check(ctx context.Context, v *Version, direct, through string) error {
	source, err := c.inspector.Inspect(ctx, direct)
	if err != nil {
		return err
	}
	defer source.Close()
	served, err := c.inspector.Inspect(ctx, through)
	if err != nil {
		return err
	}
	v.Differences = len(compare.Differences(source.Inspection, served.Inspection, tree.DiffOptions{}))
	v.Same = v.Differences == 0
	last := c.last
	c.last = served
	before := &rechunk.Inspection{Image: &image.Source{}, Tree: &tree.Tree{}}
	if last != nil {
		defer last.Close()
		before = last.Inspection
	}
	cost, err := compare.Update(ctx, before, served.Inspection, layer.Zstd)
	if err == nil {
		v.FloorBytes = cost.FloorBytes
	}
	return err
}
