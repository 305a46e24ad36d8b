package compare

import (
	"math"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Differences lists how the filesystem of b differs from that of a, as tree.Diff does. What Strata changes in bootable
// images is no difference: the content of /sysroot is in neither, and identical files that tree.Share would link count as
// linked.
func Differences(a, b *rechunk.Inspection, opts tree.DiffOptions) []tree.Difference {
	return tree.Diff(shared(a, opts.Times), shared(b, opts.Times), opts)
}

// shared is the image's tree with its identical files linked, if it is a bootable one.
func shared(i *rechunk.Inspection, times bool) *tree.Tree {
	if !image.Bootable(&i.Image.Config) {
		return i.Tree
	}
	// Without labels there is no error, and without a bound the groups do not depend on those that there were.
	t, _, _ := tree.Share(i.Tree, tree.ShareOptions{Times: times, Most: math.MaxInt})
	return t
}
