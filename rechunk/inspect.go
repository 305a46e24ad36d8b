package rechunk

import (
	"context"
	"errors"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Inspection is an image taken apart: what each layer holds, the filesystem that clients get and who owns what. Close frees
// its disk space.
type Inspection struct {
	Image  *image.Source
	Layers []*tree.Index
	// Tree is the filesystem, without what Strata drops from plain bootc images.
	Tree   *tree.Tree
	Owners *pkgdb.Owners
	run    *run
}

// Inspect takes an image apart, whatever it is labelled as. Options are not looked at.
func (e *Engine) Inspect(ctx context.Context, req Request) (*Inspection, error) {
	req.Options = Options{Always: true}
	if req.Progress == nil {
		req.Progress = func(Progress) {}
	}
	r := &run{Engine: e, req: req}
	if err := r.describe(ctx); err != nil {
		return nil, err
	}
	var err error
	if r.spool, err = scan.NewSpool(e.cfg.WorkDir, e.cfg.WorkBytes); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{r.fetch, r.flatten, r.own} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, r.spool.Close())
		}
	}
	return &Inspection{Image: r.src, Layers: r.indexes, Tree: r.tree, Owners: r.owners, run: r}, nil
}

// Contents gives the bytes of the image's files.
func (i *Inspection) Contents() tree.Contents { return i.run.contents }

// Close frees the disk space of an inspection.
func (i *Inspection) Close() error { return i.run.spool.Close() }
