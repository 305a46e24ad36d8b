package rechunk

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/selinux"
	"github.com/strata-oci/strata/rechunk/tree"
)

// share makes hardlinks of identical files. When the clients' labels cannot be told, all files stay apart.
func (r *run) share(ctx context.Context) error {
	if !r.plain || r.req.Options.OwnLinks || r.form() == FormOSTree {
		return nil
	}
	opts := tree.ShareOptions{Times: true, Label: r.labels(ctx)}
	if len(r.images) > 0 {
		opts.Served = servedObjects(r.tree, r.images, r.req.Options.ExactTime)
	}
	shared, linked, err := tree.Share(r.tree, opts)
	if errors.Is(err, selinux.ErrPolicy) {
		r.cfg.Logger.WarnContext(ctx, "identical files are not linked", "source", r.req.Digest, "error", err)
		return nil
	}
	if err == nil {
		r.tree, r.linked = shared, linked
	}
	return err
}

// labels tells the label that clients give to a path, by the image's policy, which is read when it is first needed.
func (r *run) labels(ctx context.Context) func(path string) (string, error) {
	var policy *selinux.Labels
	read := false
	return func(path string) (_ string, err error) {
		if !read {
			if policy, err = selinux.Read(func(p string) (io.ReadCloser, error) { return r.openFile(ctx, p) }); err != nil {
				return "", err
			}
			read = true
		}
		if policy == nil {
			return "", nil
		}
		return policy.Of(path)
	}
}

// openFile opens a regular file of the tree; nil when there is none.
func (r *run) openFile(ctx context.Context, path string) (io.ReadCloser, error) {
	e := r.tree.Lookup(path)
	if e == nil || e.Kind != tree.Regular {
		return nil, nil
	}
	return r.contents.open(ctx, e.Digest)
}

// servedObjects finds the objects as which files were served: the newest image that has an equal file says which.
func servedObjects(t *tree.Tree, images []plan.Image, times bool) func(*tree.Entry) (string, bool) {
	objects := map[string]string{}
	seen := map[digest.Digest]bool{}
	for _, img := range images {
		for _, l := range slices.Backward(img.Layers) {
			if seen[l.Digest] {
				continue
			}
			seen[l.Digest] = true
			for j := range l.Index.Entries {
				old := &l.Index.Entries[j]
				if old.Size < tree.ShareMin || !tree.Within(old.Path, "usr") {
					continue
				}
				e := t.Lookup(old.Path)
				if _, known := objects[old.Path]; known || e == nil || !old.Same(e) || times && !old.SameTime(e) {
					continue
				}
				objects[old.Path] = ""
				if old.Link != "" {
					objects[old.Path] = l.Digest.String() + " " + old.Link
				}
			}
		}
	}
	return func(e *tree.Entry) (string, bool) {
		object, ok := objects[e.Path]
		return object, ok
	}
}
