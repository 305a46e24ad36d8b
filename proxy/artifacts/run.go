package artifacts

import (
	"context"
	"slices"
	"time"
)

// lookAgain is how often all tags are looked through for images without their artifacts: those that were too many, that
// others have made, and whose rules are new.
const lookAgain = time.Hour

// Run makes artifacts until ctx ends: first those that are missing.
func (a *Artifacts) Run(ctx context.Context) {
	if a.Turn == nil {
		return
	}
	looked := a.look(ctx)
	for ctx.Err() == nil {
		if p, ok := a.next(); ok {
			a.try(ctx, p)
			continue
		}
		timer := time.NewTimer(a.pause(looked))
		select {
		case <-a.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if a.Now().Sub(looked) >= lookAgain && ctx.Err() == nil {
			looked = a.look(ctx)
		}
	}
}

// look looks through all tags, and returns when it began.
func (a *Artifacts) look(ctx context.Context) time.Time {
	began := a.Now()
	err := a.Work.Catch(ctx, "delta artifacts", func() error { return a.resume(ctx) })
	if err != nil && ctx.Err() == nil {
		a.Logger.WarnContext(ctx, "images without their delta artifacts could not be looked for", "error", err)
	}
	return began
}

// pause is how long there is nothing to do unless an image is published.
func (a *Artifacts) pause(looked time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := looked.Add(lookAgain)
	if at := a.failed.due(); !at.IsZero() && at.Before(until) {
		until = at
	}
	return max(until.Sub(a.Now()), time.Second)
}

// try makes the artifacts of an image. Those that fail are tried again, after longer and longer pauses.
func (a *Artifacts) try(ctx context.Context, p published) {
	err := a.Work.Catch(ctx, "delta artifact", func() error { return a.image(ctx, p) })
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.failed.forget(p)
		return
	}
	at := a.failed.add(p, a.Now())
	a.Logger.WarnContext(ctx, "delta artifact could not be made", "repository", p.repo.String(), "image",
		p.manifest.String(), "error", err, "again", at)
}

// next takes what comes next: what was published, what is to be tried again, what was found.
func (a *Artifacts) next() (p published, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok = first(&a.waiting); !ok {
		if p, ok = a.failed.take(a.Now()); !ok {
			p, ok = first(&a.missed)
		}
	}
	a.Metrics.ArtifactsWaiting(len(a.waiting) + len(a.missed))
	return p, ok
}

func first(of *[]published) (published, bool) {
	if len(*of) == 0 {
		return published{}, false
	}
	p := (*of)[0]
	*of = (*of)[1:]
	return p, true
}

// Pauses after a failure, and how many images are remembered; of more, the one that is due last is left to who looks
// through all tags.
const (
	firstPause  = 5 * time.Minute
	lastPause   = 6 * time.Hour
	maxFailures = 256
)

// failures are images that could not get their artifacts.
type failures []failure

type failure struct {
	published

	tries int
	at    time.Time // of the next try
	taken bool      // it is being tried
}

func (f *failures) index(p published) int {
	return slices.IndexFunc(*f, func(x failure) bool { return x.published == p })
}

// add notes a failure and returns when to try again.
func (f *failures) add(p published, now time.Time) time.Time {
	i := f.index(p)
	if i < 0 {
		if len(*f) >= maxFailures {
			last := slices.MaxFunc(*f, func(x, y failure) int { return x.at.Compare(y.at) })
			f.forget(last.published)
		}
		*f = append(*f, failure{published: p})
		i = len(*f) - 1
	}
	x := &(*f)[i]
	x.at, x.taken = now.Add(min(firstPause<<min(x.tries, 10), lastPause)), false
	x.tries++
	return x.at
}

func (f *failures) forget(p published) {
	*f = slices.DeleteFunc(*f, func(x failure) bool { return x.published == p })
}

// has reports whether an image has failed and is not to be tried yet.
func (f *failures) has(p published, now time.Time) bool {
	i := f.index(p)
	return i >= 0 && now.Before((*f)[i].at)
}

// due is when the next one is to be tried; the zero time for never.
func (f *failures) due() time.Time {
	var out time.Time
	for _, x := range *f {
		if !x.taken && (out.IsZero() || x.at.Before(out)) {
			out = x.at
		}
	}
	return out
}

// take returns one whose time has come.
func (f *failures) take(now time.Time) (published, bool) {
	for i := range *f {
		if x := &(*f)[i]; !x.taken && !now.Before(x.at) {
			x.taken = true
			return x.published, true
		}
	}
	return published{}, false
}
