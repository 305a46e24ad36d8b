package rechunk

import (
	"context"
	"fmt"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// refuseDisputed passes images through that are not the same filesystem to all clients, or would not be in other layers:
// docs/clients.md has the list.
func (r *run) refuseDisputed(context.Context) error {
	if what := r.budget.Disputed(); what != "" {
		return fmt.Errorf("%w: clients disagree about %s", ErrPassThrough, what)
	}
	for i := range r.tree.Entries {
		if what := overlayMeaning(&r.tree.Entries[i]); what != "" {
			return fmt.Errorf("%w: overlayfs takes %s of %q for its own, and would hide files of other layers",
				ErrPassThrough, what,
				r.tree.Entries[i].Path)
		}
	}
	return nil
}

// overlayMeaning tells what of an entry means something to overlayfs, which depends on what the other layers hold:
// attributes that make a directory opaque, lead elsewhere or mark whiteouts, and the device that is one.
func overlayMeaning(e *tree.Entry) string {
	if e.Kind == tree.Char && e.Major == 0 && e.Minor == 0 {
		return "the device 0:0"
	}
	for _, x := range e.Xattrs {
		if strings.HasPrefix(x.Name, "trusted.overlay.") || strings.HasPrefix(x.Name, "user.overlay.") {
			return "the attribute " + x.Name
		}
	}
	return ""
}
