package operate

import "github.com/strata-oci/strata/rechunk/compare"

// Update is what an update from one image to another costs, and what is new in it.
type Update struct {
	compare.Deltas
	// Contents is nil where nobody asked.
	Contents *compare.News `json:"contents,omitempty"`
}
