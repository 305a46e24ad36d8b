package rechunk

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// formOfSource is the Version.Form that the source would have, had it been made here.
func (r *run) formOfSource() string {
	if r.plain && r.src.Config.Config.Labels[image.LabelCommit] != "" {
		return FormOSTree
	}
	return ""
}

// keeps reports whether images of the format may keep layers of a type. In ostree's form they may keep what rpm-ostree and
// ostree-ext have compressed: importers take each layer by its own type.
func (r *run) keeps(mediaType string, annotations map[string]string) bool {
	return r.req.Options.Format.Keeps(mediaType, annotations) ||
		r.form() == FormOSTree && mediaType == ocispec.MediaTypeImageLayerGzip && !toc.Told(annotations)
}

// judge finds out what a layer that another engine made is in the lineage, and returns its name there. Of ostree's form, the
// layer with the commit has a name of its own, and the objects of all others are held to what they are called: of what a
// kept layer has, nothing is worked out again. An error that wraps ErrNotAdopted says what is not.
func (r *run) judge(ctx context.Context, d digest.Digest, x *tree.Index, name string) (string, error) {
	if r.form() != FormOSTree {
		return name, nil
	}
	objects := false
	for i := range x.Entries {
		if ostree.IsCommit(x.Entries[i].Path) {
			name = commitLayer
		}
		_, ok := ostree.FileObject(x.Entries[i].Path)
		objects = objects || ok
	}
	if name == commitLayer || !objects {
		return name, nil
	}
	err := r.checkObjects(ctx, d)
	if errors.Is(err, ostree.ErrUnfit) || errors.Is(err, tree.ErrLimit) || errors.Is(err, tree.ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrNotAdopted, err)
	}
	if err != nil {
		return name, fmt.Errorf("layer %s: %w", d, err)
	}
	return name, nil
}

// checkObjects works out the checksums of the objects in a stored layer.
func (r *run) checkObjects(ctx context.Context, d digest.Digest) error {
	spool, err := scan.NewSpool(r.cfg.WorkDir, r.cfg.Space)
	if err != nil {
		return err
	}
	defer spool.Close()
	rc, err := r.cfg.Store.Open(ctx, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	x, err := r.scan(ctx, rc, spool, tree.NewBudget(r.cfg.Limits), func(int) {})
	if err != nil {
		return err
	}
	t := &tree.Tree{Entries: x.Entries}
	for i := range t.Entries {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		want, ok := ostree.FileObject(t.Entries[i].Path)
		if !ok {
			continue
		}
		got, err := calledSum(t, &t.Entries[i], want, spool)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: object %s is really %s", ErrNotAdopted, want, got)
		}
	}
	return nil
}

// calledSum is the checksum of the object of a file that a layer calls so.
func calledSum(t *tree.Tree, e *tree.Entry, called ostree.Checksum, contents tree.Contents) (ostree.Checksum, error) {
	a := t.Lookup(ostree.AttributesPath(called))
	if a == nil || a.Kind != tree.Regular {
		return ostree.Checksum{}, fmt.Errorf("%w: object %s has no attributes", ErrNotAdopted, called)
	}
	attrs, err := ostree.ReadAttributes(a, contents)
	if err != nil {
		return ostree.Checksum{}, err
	}
	return objectSum(e, attrs, contents)
}
