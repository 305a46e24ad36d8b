package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

// Bounds on warming.
const (
	defaultWarmConcurrency = 2
	maxWarming             = 1000 // references waiting or at work
	maxWarmed              = 100  // ended ones that are remembered
)

var errBusy = fmt.Errorf("more than %d references are being warmed, which is the limit: try again later", maxWarming)

// warmTasks warms references, a few at once, and remembers how it went.
type warmTasks struct {
	warmer Warmer
	work   *background.Group
	slots  chan struct{}

	mu     sync.Mutex
	last   int
	active []*warmTask
	ended  []*warmTask // newest last
}

// warmTask is one reference. Its report is guarded by the mutex of warmTasks.
type warmTask struct {
	report operate.JobReport
	start  time.Time
}

func newWarmTasks(w Warmer, concurrency int, work *background.Group) *warmTasks {
	if concurrency <= 0 {
		concurrency = defaultWarmConcurrency
	}
	return &warmTasks{warmer: w, work: work, slots: make(chan struct{}, concurrency)}
}

// add takes on references, all or none.
func (t *warmTasks) add(references []string) ([]*warmTask, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.active)+len(references) > maxWarming {
		return nil, errBusy
	}
	tasks := make([]*warmTask, len(references))
	for i, ref := range references {
		t.last++
		tasks[i] = &warmTask{start: time.Now(), report: operate.JobReport{
			ID: "warm-" + strconv.Itoa(t.last), Kind: operate.KindWarm, Reference: ref, State: jobs.Queued,
			StartedAt: time.Now().UTC(),
		}}
	}
	t.active = append(t.active, tasks...)
	return tasks, nil
}

// begin runs a task in the background; when that ends already, with a context that has ended.
func (t *warmTasks) begin(run func(ctx context.Context)) {
	if t.work.Go("warm", run) {
		return
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	run(ended)
}

// run warms a reference that add took on, and tells progress, ending with a final event.
func (t *warmTasks) run(ctx context.Context, task *warmTask, progress func(operate.WarmEvent)) error {
	ref := task.report.Reference // never changes
	tell := func(e operate.WarmEvent) {
		e.Reference = ref
		t.note(task, e)
		progress(e)
	}
	tell(operate.WarmEvent{State: jobs.Queued})
	asItIs := ""
	err := ctx.Err()
	if err == nil {
		select {
		case t.slots <- struct{}{}:
			err = t.work.Catch(ctx, "warm", func() error {
				return t.warmer.Warm(ctx, ref, func(e operate.WarmEvent) {
					if e.AsItIs != "" { // the last one
						asItIs = e.AsItIs
						return
					}
					e.State = jobs.Running // how it ends is for Warm's result to say
					tell(e)
				})
			})
			<-t.slots
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	final := operate.WarmEvent{State: jobs.Done, AsItIs: asItIs}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, background.ErrClosed):
		final = operate.WarmEvent{State: jobs.Cancelled, Error: err.Error()}
	case err != nil:
		final = operate.WarmEvent{State: jobs.Failed, Error: err.Error()}
	}
	tell(final)
	return err
}

// note keeps an event for reports.
func (t *warmTasks) note(task *warmTask, e operate.WarmEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &task.report
	r.State, r.Phase, r.Error = e.State, e.Phase, e.Error
	r.Seconds = time.Since(task.start).Seconds()
	if !e.Final() {
		r.DoneBytes, r.TotalBytes = e.DoneBytes, e.TotalBytes
		return
	}
	t.active = slices.DeleteFunc(t.active, func(other *warmTask) bool { return other == task })
	t.ended = append(t.ended, task)
	if extra := len(t.ended) - maxWarmed; extra > 0 {
		t.ended = slices.Delete(t.ended, 0, extra)
	}
}

// reports returns those at work, oldest first, then those that ended, newest first.
func (t *warmTasks) reports() []operate.JobReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	var reports []operate.JobReport
	for _, task := range t.active {
		r := task.report
		r.Seconds = time.Since(task.start).Seconds()
		reports = append(reports, r)
	}
	for _, task := range slices.Backward(t.ended) {
		reports = append(reports, task.report)
	}
	return reports
}
