package oneshot

import (
	"context"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Compare works out what an update from one image to another costs a client.
func Compare(ctx context.Context, old, next string, c layer.Compression, o Options) (out *rechunk.Comparison, err error) {
	err = inspectBoth(ctx, old, next, o, func(a, b *rechunk.Inspection) error {
		out, err = rechunk.Compare(ctx, a, b, c)
		return err
	})
	return out, err
}

// Verification is the outcome of Verify.
type Verification struct {
	Same        bool              `json:"same"`
	Differences []tree.Difference `json:"differences"`
}

// Verify compares the filesystems of two images. What Strata drops from plain bootc images, the content of /sysroot, counts in
// neither. At most so many differences are listed; 0 lists all. times compares modification times, too.
func Verify(ctx context.Context, a, b string, times bool, most int, o Options) (*Verification, error) {
	out := &Verification{}
	err := inspectBoth(ctx, a, b, o, func(x, y *rechunk.Inspection) error {
		out.Differences = tree.Diff(x.Tree, y.Tree, tree.DiffOptions{Times: times, Most: most})
		return nil
	})
	if out.Same = len(out.Differences) == 0; out.Same {
		out.Differences = []tree.Difference{}
	}
	return out, err
}
