package rechunk

import (
	"context"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/pkgdb"
)

// Users of hhd-dev/rechunk build their images with the layers of the one before, which a label of it lists by the packages
// in each. Where an image has that label, what is made of it in ostree's form, which theirs is, lists the layers that are
// served.

// theirPlan is what hhd-dev/rechunk says of the source.
type theirPlan struct {
	*image.HHD
	packages map[string][]string // names by component, ascending
}

// loadTheirPlan reads the label of the source for an image in ostree's form.
func (r *run) loadTheirPlan(ctx context.Context) error {
	if r.capsule == nil {
		return nil
	}
	return r.readTheirPlan(ctx)
}

// readTheirPlan reads the label of the source, if it has one. One that is damaged counts as none.
func (r *run) readTheirPlan(ctx context.Context) error {
	label := r.src.Config.Config.Labels[image.LabelHHD]
	if label == "" {
		return nil
	}
	h, err := image.ParseHHD(label)
	if err != nil {
		r.cfg.Logger.WarnContext(ctx, "label is damaged and not read", "source", r.req.Digest, "error", err)
		return nil
	}
	if h == nil {
		return nil
	}
	installed, _, err := pkgdb.Packages(ctx, r.tree, r.contents.within(ctx), r.cfg.WorkDir)
	if err != nil {
		return err
	}
	r.theirs = &theirPlan{h, map[string][]string{}}
	for _, p := range installed {
		if names := r.theirs.packages[p.Component]; !slices.Contains(names, p.Name) {
			r.theirs.packages[p.Component] = append(names, p.Name)
		}
	}
	return nil
}

// label is theirs for an image whose layers have these annotations, lowest first; "" without one.
func (p *theirPlan) label(annotations []map[string]string) (string, error) {
	if p == nil {
		return "", nil
	}
	layers := [][]string{}
	seen := map[string]bool{}
	for _, a := range annotations {
		var in []string
		for component := range strings.SplitSeq(a[ComponentsNote], ",") {
			for _, name := range p.packages[component] {
				if !seen[name] {
					seen[name] = true
					in = append(in, name)
				}
			}
		}
		if len(in) > 0 {
			layers = append(layers, in)
		}
	}
	return p.With(layers)
}
