package compare

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Differences lists how the filesystem of b differs from that of a, as tree.Diff does. What Strata changes in bootable
// images is no difference: the content of /sysroot is in neither, and identical files that tree.Share would link count as
// linked.
//
// An image that Strata made in ostree's form has a hardlink for each name of an object, as hosts on ostree have in any case,
// and labels by its policy in the objects alone: neither links nor security.selinux are compared then.
func Differences(a, b *rechunk.Inspection, opts tree.DiffOptions) []tree.Difference {
	if ofObjects(a) || ofObjects(b) {
		return tree.Diff(unlinked(a.Tree, b.Tree), unlinked(b.Tree, a.Tree), opts)
	}
	return tree.Diff(shared(a, opts.Times), shared(b, opts.Times), opts)
}

// WithNoise is Differences of a served image from its source, without the contents that differ in build noise only, if the
// image says that it keeps such files (image.AnnotationNoise). Those are told, in path order, and no more than are
// different. Of an ostree-encapsulated source, what its commit says of attributes is compared, too.
func WithNoise(ctx context.Context, source, served *rechunk.Inspection, opts tree.DiffOptions) (diffs []tree.Difference,
	told []rechunk.KeptFile, err error) {
	most := opts.Most
	keeps := KeepsNoise(served)
	if keeps {
		opts.Most = 0
	}
	diffs = Differences(source, served, opts)
	if keeps {
		if told, err = served.NoiseKept(ctx, source); err != nil {
			return nil, nil, err
		}
		diffs = slices.DeleteFunc(diffs, func(d tree.Difference) bool {
			return d.What == "content" &&
				slices.ContainsFunc(told, func(k rechunk.KeptFile) bool { return k.Path == d.Path })
		})
	}
	lost, err := commitDifferences(ctx, source, served)
	if err == nil && lost == nil {
		lost, err = commitDifferences(ctx, served, source)
	}
	var torn []tree.Difference
	if err == nil {
		torn, err = objectDifferences(ctx, served)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the image's ostree commit: %w", err)
	}
	lost = append(lost, torn...)
	known := map[string]bool{}
	for _, d := range diffs {
		known[d.What+d.Path] = true
	}
	for _, d := range lost {
		if !known[d.What+d.Path] {
			diffs = append(diffs, d)
		}
	}
	if most > 0 && len(diffs) > most {
		diffs = diffs[:most]
	}
	return diffs, told, nil
}

// KeepsNoise reports whether a served image says that it keeps files that differ in build noise only.
func KeepsNoise(i *rechunk.Inspection) bool {
	return i.Image.Manifest.Annotations[image.AnnotationNoise] == image.NoiseKept
}

// ofObjects reports whether an image was made in ostree's form here.
func ofObjects(i *rechunk.Inspection) bool {
	return i.Image.Config.Config.Labels[image.LabelCommit] != "" &&
		i.Image.Manifest.Annotations[image.AnnotationSource] != ""
}

// unlinked is a tree in which each name is a file of its own and without a label, and symlinks have the one mode that they
// have in ostree. A /sysroot that the other one lacks is there for the repository.
func unlinked(t, other *tree.Tree) *tree.Tree {
	t = t.Clone()
	if k, ok := t.Find("sysroot"); ok && other.Lookup("sysroot") == nil {
		t.Entries = slices.Delete(t.Entries, k, k+1)
	}
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Link = ""; e.Kind == tree.Symlink {
			e.Mode = 0o777
		}
		if slices.ContainsFunc(e.Xattrs, isLabel) {
			e.Xattrs = slices.DeleteFunc(slices.Clone(e.Xattrs), isLabel)
		}
	}
	return t
}

// isLabel reports whether an attribute is a SELinux label.
func isLabel(x tree.Xattr) bool { return x.Name == "security.selinux" }

// shared is the image's tree with its identical files linked, if it is a bootable one.
func shared(i *rechunk.Inspection, times bool) *tree.Tree {
	if !image.Bootable(&i.Image.Config) {
		return i.Tree
	}
	// Without labels there is no error, and without a bound the groups do not depend on those that there were.
	t, _, _ := tree.Share(i.Tree, tree.ShareOptions{Times: times, Most: math.MaxInt})
	return t
}
