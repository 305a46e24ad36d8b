package rechunk_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestOverBudget(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		fmt.Errorf("layer: %w", tree.ErrInvalid):                         false,
		fmt.Errorf("layer: %w", tree.ErrLimit):                           true,
		fmt.Errorf("config: %w", image.ErrInvalid):                       false,
		fmt.Errorf("%w: more than 1m", rechunk.ErrDeadline):              true,
		fmt.Errorf("%w: %w", layer.ErrMismatch, tree.ErrInvalid):         false,
		fmt.Errorf("%w: in no layer: %w", rechunk.ErrNotFound, errFault): false,
		errors.New("no route"):                                           false,
		rechunk.ErrFenced:                                                false,
	} {
		if got := rechunk.OverBudget(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

// An image that does not fit into its work space is refused with an error that names what is full.
func TestWorkBytes(t *testing.T) {
	t.Parallel()
	s := &rechunktest.MemoryStore{}
	e := rechunk.New(rechunk.Config{Store: s, Records: s, WorkDir: t.TempDir(), Space: workspace.New(1000)})
	first, _ := pair(t)
	if _, err := e.Rechunk(t.Context(), first.Request("test", rules)); !rechunk.OverBudget(err) {
		t.Errorf("%v", err)
	}
}
