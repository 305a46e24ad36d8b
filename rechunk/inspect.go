package rechunk

import (
	"context"
	"errors"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
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
	r := e.newRun(req)
	if err := r.do(ctx, toInspect); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.end(nil)
	return &Inspection{Image: r.src, Layers: r.indexes, Tree: r.tree, Owners: r.owners, run: r}, nil
}

// Contents gives the bytes of the image's files. Layers that have not been read yet are read when their contents are first
// wanted, with ctx.
func (i *Inspection) Contents(ctx context.Context) tree.Contents { return i.run.contents.within(ctx) }

// Packages returns what the image's package databases have installed, as pkgdb.Packages does.
func (i *Inspection) Packages(ctx context.Context) ([]pkgdb.Installed, []pkgdb.Warning, error) {
	return pkgdb.Packages(ctx, i.Tree, i.Contents(ctx), i.run.cfg.WorkDir)
}

// Changelogs returns the changelogs of these components, as pkgdb.Logs does.
func (i *Inspection) Changelogs(ctx context.Context, components map[string]bool) (map[string][]installed.Entry, error) {
	return pkgdb.Logs(ctx, i.Tree, i.Contents(ctx), i.run.cfg.WorkDir, components)
}

// Close frees the disk space of an inspection.
func (i *Inspection) Close() error { return i.run.close() }
