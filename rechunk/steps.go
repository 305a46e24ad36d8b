package rechunk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/scan"
)

// goal is what a run is for.
type goal uint8

const (
	toInspect goal = 1 << iota // what an image holds
	toPlan                     // what Rechunk would decide
	toServe                    // the served image
	toAdopt                    // an image that was served before
	toTake                     // an image that another engine made

	always = toInspect | toPlan | toServe | toAdopt | toTake
)

// step is one thing that is done with an image on the way to some goals.
type step struct {
	goals goal
	do    func(*run, context.Context) error
}

// pipeline lists everything that is done with an image, in order. No other place knows the order.
func pipeline() []step {
	return []step{
		{toPlan | toServe | toAdopt | toTake, (*run).checkFormat},
		{always, (*run).describe},
		{toServe | toAdopt | toTake, (*run).lockLineage},
		{toServe | toAdopt | toTake | toPlan, (*run).startClock},
		{toAdopt, (*run).adopt},
		{toTake, (*run).take},
		{toPlan | toServe, (*run).findServed},
		{toServe, (*run).reuse},
		{toInspect | toPlan | toServe, (*run).openSpool},
		{toInspect | toPlan | toServe, (*run).fetch},
		{toInspect | toPlan | toServe, (*run).flatten},
		{toPlan | toServe, (*run).dropIndexes},
		{toPlan | toServe, (*run).refuseSealed},
		{toPlan | toServe, (*run).refuseDisputed},
		{toPlan | toServe, (*run).refuseUnreadable},
		{toPlan | toServe, (*run).loadLineage},
		{toPlan | toServe, (*run).keepServed},
		{toPlan | toServe, (*run).share},
		{toPlan | toServe, (*run).distinguish},
		{toPlan | toServe, (*run).encapsulate},
		{toPlan | toServe, (*run).loadHistory},
		{toInspect | toPlan | toServe, (*run).own},
		{toServe, (*run).loadTheirPlan},
		{toPlan, (*run).decide},
		{toServe, (*run).prepare},
		{toServe, (*run).write},
		{toServe, (*run).verify},
		{toServe, (*run).publish},
	}
}

// newRun makes a run of a request.
func (e *Engine) newRun(req Request) *run {
	if req.Progress == nil {
		req.Progress = func(Progress) {}
	}
	return &run{Engine: e, req: req, started: time.Now()}
}

// do takes the steps to a goal, until one fails or there is a result. A panic is an error like any other: rescue.PanicError.
// The caller closes the run in any case.
func (r *run) do(ctx context.Context, g goal) error {
	ctx, r.end = context.WithCancelCause(ctx)
	err := rescue.Call(func() error {
		for _, s := range pipeline() {
			if s.goals&g == 0 || r.result != nil {
				continue
			}
			if err := s.do(r, ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDeadline) && !errors.Is(err, ErrDeadline) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// close gives back what the run holds. It may be called more than once.
func (r *run) close() error {
	var err error
	if r.end != nil {
		r.end(nil)
	}
	if r.stopClock != nil {
		r.stopClock()
	}
	if r.spool != nil {
		err = r.spool.Close()
	}
	if r.unlock != nil {
		r.unlock()
		r.unlock = nil
	}
	return err
}

// checkFormat refuses requests that do not say how to write layers.
func (r *run) checkFormat(context.Context) error {
	if r.req.Options.Format == nil {
		return errors.New("no format for new layers is given")
	}
	return nil
}

// lockLineage waits for the lineage of the image. The run ends when it is lost to another.
func (r *run) lockLineage(ctx context.Context) error {
	bound, held, unlock, err := r.lock(ctx, lineageKey(r.req.Lineage, r.platform()))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(bound, func() { r.end(context.Cause(bound)) })
	r.held, r.unlock = held, func() { stop(); unlock() }
	return nil
}

// reuse makes the image that an earlier run made the result, if there is one.
func (r *run) reuse(context.Context) error {
	r.result = r.served
	return nil
}

// openSpool makes the place for contents.
func (r *run) openSpool(context.Context) (err error) {
	r.spool, err = scan.NewSpool(r.cfg.WorkDir, r.cfg.Space)
	return err
}
