package oneshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/compare"
)

// Plan tells what Rechunk would decide for the image src. Nothing is written to the state directory.
func Plan(ctx context.Context, src, name string, rules rechunk.Options, o Options) (_ *compare.Preview, err error) {
	from, err := openSource(ctx, src, o)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	dir := o.State
	o.State = ""
	w, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	engine := w.engine
	if dir != "" {
		below, err := readState(ctx, dir, o)
		if err != nil {
			return nil, err
		}
		if o.Prior == "" {
			if err := noteFirstVersion(ctx, below, name, o.Logger); err != nil {
				return nil, err
			}
		}
		both := overlay{w.store, state.New(below, o.Logger, nil)}
		engine = rechunk.New(rechunk.Config{Store: both, Records: both, WorkDir: w.dir, Logger: o.Logger})
	}
	req := from.request(o)
	req.Lineage, req.Options = name, rules
	req.Options.Always = true
	if err := adopt(ctx, engine, req, o); err != nil {
		return nil, err
	}
	d, err := engine.Plan(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("planning: %w", explain(src, err))
	}
	return compare.PreviewOf(d), nil
}
