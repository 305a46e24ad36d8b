package rechunk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/layer"
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

// refuseUnreadable passes bootable images through that bootc could not read in layers made here. In the form that the source
// has it may: ostree-encapsulated images keep attributes in files of their own.
func (r *run) refuseUnreadable(context.Context) error {
	if !r.plain || r.form() == FormOSTree {
		return nil
	}
	fine := map[*tree.Xattr]bool{} // by the first of a list of attributes, which many entries may share
	for i := range r.tree.Entries {
		e := &r.tree.Entries[i]
		if len(e.Xattrs) == 0 || fine[&e.Xattrs[0]] {
			continue
		}
		if what := layer.Unreadable(e); what != "" {
			remedy := ""
			if slices.ContainsFunc(e.Xattrs, misread) {
				remedy = ": with format: ostree it is rechunked, since attributes are in objects there"
			}
			return fmt.Errorf("%w: bootc reads it in no other layers than the source's, since %s%s", ErrPassThrough, what,
				remedy)
		}
		fine[&e.Xattrs[0]] = true
	}
	return nil
}

// AsItIs tells why an image of the kind is served as it is: an error that wraps ErrPassThrough, or nil for one that is
// rechunked. Whether it is labelled as bootable, and for which platform it is, is not looked at.
func (i *Inspection) AsItIs(ctx context.Context) error {
	for _, refuse := range []func(*run, context.Context) error{
		(*run).refuseSealed, (*run).refuseDisputed, (*run).refuseUnreadable,
	} {
		if err := refuse(i.run, ctx); err != nil {
			return err
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
