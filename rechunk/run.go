package rechunk

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// run is one image on its way through the pipeline: what its steps have found so far.
type run struct {
	*Engine
	req       Request
	started   time.Time
	end       context.CancelCauseFunc // ends the run
	stopClock func()
	held      Lock
	unlock    func()

	src       *image.Source
	plain     bool    // a plain bootc image is made
	served    *Result // what an earlier run made of the same; nil for nothing
	indexes   []*tree.Index
	scanned   map[digest.Digest]bool // source layers whose contents are in the spool
	spool     *scan.Spool
	budget    *tree.Budget // of the source image
	contents  *contents
	tree      *tree.Tree
	timed     map[string]bool // paths whose time another file quotes, or that tells the image from an earlier one
	stamps    []stamp         // times of the source that could be given back
	restamped string          // path of the one that was
	sum       treeSum         // of what is served
	kept      []KeptFile      // in whose place the tree has what was served before
	exactSum  [32]byte        // of the tree as the source has it, when something was kept
	linked    int             // files of the tree that became hardlinks
	owners    *pkgdb.Owners
	lineage   Lineage
	images    []plan.Image
	history   *plan.History
	lost      string     // what is to be noted about the history
	unkept    int64      // bytes of the newest image's layers that are of another format
	capsule   *capsule   // nil for a plain image
	theirs    *theirPlan // nil where hhd-dev/rechunk says nothing of the source
	layout    *plan.Layout
	layers    []madeLayer
	result    *Result
	adopted   bool
	made      *Made // what another engine made the image of
}

// Rechunk makes the served image of a source image, or finds the one that it made before. An error that wraps ErrPassThrough
// says that the image is to be served as it is; after any other error, too, nothing was published. A panic anywhere below is
// an error that wraps a *rescue.PanicError, whose stack is for the caller's log.
func (e *Engine) Rechunk(ctx context.Context, req Request) (*Result, error) {
	r := e.newRun(req)
	defer r.close()
	if err := r.do(ctx, toServe); err != nil {
		return nil, err
	}
	return r.result, nil
}

// describe reads manifest and config.
func (r *run) describe(ctx context.Context) error {
	m, err := image.ParseManifest(r.req.Manifest)
	if err != nil {
		return err
	}
	if m.Config.Size > image.MaxDocument {
		return fmt.Errorf("%w: config of %d bytes, at most %d", image.ErrInvalid, m.Config.Size, image.MaxDocument)
	}
	rc, err := r.req.Source.Blob(ctx, m.Config)
	if err != nil {
		return fmt.Errorf("fetching the config: %w", err)
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, image.MaxDocument+1))
	if err != nil {
		return fmt.Errorf("fetching the config: %w", err)
	}
	c, err := image.ParseConfig(m, raw)
	if err != nil {
		return err
	}
	if r.plain = image.Bootable(c); !r.plain && !r.req.Options.Always {
		return fmt.Errorf("%w: it is not labelled as a bootable container (%s): rechunk: always in a rule for it has it "+
			"rechunked all the same", ErrPassThrough, strings.Join(image.BootableLabels(), ", "))
	}
	if !image.MatchPlatform(r.req.Options.Platforms, c.Platform) {
		return fmt.Errorf("%w: its platform %s is not among platforms of its rule", ErrPassThrough,
			image.PlatformString(c.Platform))
	}
	r.src = &image.Source{Digest: r.req.Digest, Manifest: *m, RawConfig: raw, Config: *c}
	return nil
}

func (r *run) platform() string { return image.PlatformString(r.src.Config.Platform) }

// findServed finds the result of an earlier run that is still complete.
func (r *run) findServed(ctx context.Context) error {
	var v Version
	if ok, err := r.getJSON(ctx, KindServed, servedKey(r.req), &v); !ok || err != nil {
		return err
	}
	need, ok := v.blobs()
	if !ok {
		r.cfg.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", KindServed, "key", servedKey(r.req))
		return nil
	}
	for _, d := range need {
		if ok, err := r.cfg.Store.Has(ctx, d); !ok || err != nil {
			return err
		}
	}
	v.Reused = true
	r.served = &v.Result
	return nil
}

// flatten makes the tree to serve.
func (r *run) flatten(ctx context.Context) error {
	t, err := r.budget.Flatten(ctx, r.indexes)
	if err != nil {
		return err
	}
	r.contents = newContents(r)
	if r.plain {
		image := ostree.Image{Tree: t, Contents: r.contents.within(ctx), Derived: r.derived(), Labelled: r.labelled(ctx, t),
			Commit: r.src.Config.Config.Labels["ostree.commit"]}
		if t, err = ostree.Plain(image, r.budget); err != nil {
			return err
		}
	}
	r.tree = t
	return nil
}

// derived are the indexes of the layers above those that ostree-ext made; none where it made none.
func (r *run) derived() []*tree.Index {
	return r.indexes[len(r.indexes)-len(r.derivedFrom()):]
}

// derivedFrom are the diff_ids of these layers.
func (r *run) derivedFrom() []digest.Digest {
	final := digest.Digest(r.src.Config.Config.Labels["ostree.final-diffid"])
	i := slices.Index(r.src.Config.RootFS.DiffIDs, final)
	if i < 0 {
		return nil
	}
	return r.src.Config.RootFS.DiffIDs[i+1:]
}

// dropIndexes lets go of what the source's layers hold: the tree has it now, and an index takes as much memory.
func (r *run) dropIndexes(context.Context) error {
	r.indexes = nil
	return nil
}

// own finds the owners of the tree's entries.
func (r *run) own(ctx context.Context) error {
	var err error
	r.owners, err = pkgdb.Read(ctx, r.tree, r.contents.within(ctx), r.cfg.WorkDir)
	if err != nil {
		return fmt.Errorf("finding the owners of files: %w", err)
	}
	// One damage is often met at each package: the first of a kind is told, others to who looks closer.
	for _, w := range r.owners.Warnings {
		r.cfg.Logger.WarnContext(ctx, "package database", "source", r.req.Digest, "database", w.Database,
			"warning", w.Lines[0], "more", w.Count-1)
		for _, line := range w.Lines[1:] {
			r.cfg.Logger.DebugContext(ctx, "package database", "source", r.req.Digest, "database", w.Database,
				"warning", line)
		}
	}
	return nil
}

// refuseSealed passes sealed images through: they hold the composefs digest of exactly the filesystem that they were built
// with, metadata included.
func (r *run) refuseSealed(context.Context) error {
	i := slices.IndexFunc(r.tree.Entries, func(e tree.Entry) bool { return isUKI(e.Path) })
	if i >= 0 {
		return fmt.Errorf("%w: it is sealed by the unified kernel image %s", ErrPassThrough, r.tree.Entries[i].Path)
	}
	return nil
}

// isUKI recognises the unified kernel images that bootc's sealed mode boots.
func isUKI(path string) bool {
	const dir = "boot/EFI/Linux/"
	return len(path) > len(dir)+len(".efi") && strings.EqualFold(path[:len(dir)], dir) &&
		strings.EqualFold(path[len(path)-4:], ".efi")
}

// prepare plans the layout and gets the contents that its new layers hold. When a stored layer turns out to be damaged on
// the way, the plan is made anew without it.
func (r *run) prepare(ctx context.Context) error {
	for {
		if err := r.decide(ctx); err != nil {
			return err
		}
		if err := r.contents.need(ctx, r.wanted()); err != nil {
			return err
		}
		if !r.leaveDamaged() {
			return nil
		}
	}
}

// decide plans the layout.
func (r *run) decide(context.Context) error {
	r.req.Progress(Progress{Phase: "plan"})
	in := plan.Input{
		Tree: r.layoutTree(), Owners: r.owners, Lineage: r.images, Series: r.req.Reference, Demand: r.req.Demand,
		History: r.history,
		Timed:   r.timed, Limits: plan.Limits{
			MaxLayers: r.req.Options.MaxLayers, MaxStale: r.req.Options.MaxStale, ExactTime: r.req.Options.ExactTime,
			LayerCost: r.req.Options.LayerCost,
		},
	}
	if r.capsule != nil {
		in.Limits.MaxLayers-- // for the commit
	}
	l, err := plan.Make(in)
	if err != nil {
		return fmt.Errorf("planning: %w", err)
	}
	if err := plan.Check(in, l); err != nil {
		return fmt.Errorf("planning: %w", err)
	}
	for _, note := range []string{r.lost, r.unkeptNote(), r.restampNote()} {
		if note != "" {
			l.Notes = append(l.Notes, note)
		}
	}
	if r.capsule != nil {
		l.Layers = slices.Insert(l.Layers, 0, r.capsule.layer())
	}
	r.layout = l
	return nil
}
