package rechunk

import (
	"errors"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// OverBudget reports whether an image failed because it takes more than one image may: the limits of layers and trees,
// Config.Space, Config.Deadline. To try it again soon would only cost the same again. The error's text names what is over.
func OverBudget(err error) bool {
	if errors.Is(err, layer.ErrMismatch) || errors.Is(err, ErrNotFound) {
		return false // what was written here, or is stored, is damaged
	}
	return errors.Is(err, tree.ErrLimit) || errors.Is(err, ErrDeadline)
}
