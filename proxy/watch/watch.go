// Package watch has new versions made before hosts ask for them: it looks at tags on a schedule, and listens to registries
// that tell of pushes.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/lease"
)

// Target is a repository to look at.
type Target struct {
	Repository string // host/path
	// Interval is the time between two looks, give or take a tenth.
	Interval time.Duration
	// Tags are names, or patterns as path.Match takes them.
	Tags []string
}

// Images are what is watched. It is safe for concurrent use.
type Images interface {
	// Targets returns the repositories to look at.
	Targets(ctx context.Context) ([]Target, error)
	// Tags returns the tags that a repository has upstream.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Refresh asks the upstream about a reference and has a new version made; it returns when that is done.
	Refresh(ctx context.Context, ref string) error
}

// Options are the parts of a Watcher. Images is required.
type Options struct {
	Images Images
	// Leases let one of several replicas look at a repository; nil says that there are no others.
	Leases *lease.Leases
	// AtOnce is how many repositories and references are looked at at the same time; 0 means two.
	AtOnce int
	Logger *slog.Logger
	// Panicked is told where a panic was caught; may be nil.
	Panicked func(where string)
}

const (
	// targetsEvery is how often the list of repositories is read anew.
	targetsEvery = time.Minute
	// longestBackOff bounds the time between looks at a repository that fails.
	longestBackOff = 6 * time.Hour
	// maxTags bounds the tags of a repository that are refreshed in one look.
	maxTags = 100
	// leaseTTL is how long a repository goes unwatched when the replica that watches it dies.
	leaseTTL = time.Minute
	// maxPending bounds the references that wait after notifications.
	maxPending = 1000
)

// Watcher looks at tags until it is closed. It is safe for concurrent use.
type Watcher struct {
	o     Options
	log   *slog.Logger
	slots chan struct{}
	work  *background.Group

	mu      sync.Mutex
	pending map[string]bool // references told of; true: told again while at work
}

// Start starts watching. Close ends it.
func Start(o Options) *Watcher {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 2
	}
	w := &Watcher{o: o, log: o.Logger, slots: make(chan struct{}, o.AtOnce), pending: map[string]bool{}}
	w.work = background.New(background.Options{Logger: o.Logger, Panicked: o.Panicked})
	w.work.Go("watch", w.schedule)
	return w
}

// Close ends watching and waits for what is at work.
func (w *Watcher) Close() {
	_ = w.work.Close(context.Background()) // which waits as long as that takes
}

// schedule keeps one goroutine for each repository that is to be watched.
func (w *Watcher) schedule(ctx context.Context) {
	type watched struct {
		Target
		stop context.CancelFunc
	}
	running := map[string]watched{}
	tick := time.NewTicker(targetsEvery)
	defer tick.Stop()
	for {
		targets, err := w.o.Images.Targets(ctx)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("repositories to watch could not be listed", "error", err)
			}
		} else {
			wanted := map[string]bool{}
			for _, t := range targets {
				wanted[t.Repository] = true
				if old, ok := running[t.Repository]; ok {
					if old.Interval == t.Interval && slices.Equal(old.Tags, t.Tags) {
						continue
					}
					old.stop()
				}
				watching, stop := context.WithCancel(ctx)
				running[t.Repository] = watched{t, stop}
				w.work.Go("watch", func(context.Context) { w.watch(watching, t) })
			}
			for name, old := range running {
				if !wanted[name] {
					old.stop()
					delete(running, name)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, old := range running {
				old.stop()
			}
			return
		}
	}
}

// watch looks at one repository again and again. The first look comes at a random time of the first interval, so that many
// repositories, and replicas, do not ask at once.
func (w *Watcher) watch(ctx context.Context, t Target) {
	wait, failures := rand.N(t.Interval)+1, 0
	var held *lease.Lease
	defer func() {
		if held != nil {
			held.Release()
		}
	}()
	for pause(ctx, wait) {
		held = w.mine(ctx, t, held)
		if w.o.Leases != nil && held == nil {
			wait = jitter(t.Interval) // another replica watches it, and this one takes over when that is gone
			continue
		}
		err := w.work.Catch(ctx, "watch", func() error { return w.look(ctx, t) })
		wait = jitter(t.Interval)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		failures++
		wait = jitter(max(t.Interval, min(t.Interval<<min(failures, 10), longestBackOff)))
		w.log.Warn("watched repository could not be brought up to date", "repository", t.Repository, "next",
			wait.Round(time.Second), "error", err)
	}
}

// mine returns the lease of a repository, which the replica that watches it keeps, or nil when another has it.
func (w *Watcher) mine(ctx context.Context, t Target, held *lease.Lease) *lease.Lease {
	if w.o.Leases == nil {
		return nil
	}
	if held != nil {
		select {
		case <-held.Lost():
			held.Release()
		default:
			return held
		}
	}
	held, err := w.o.Leases.TryAcquire(ctx, "watch "+t.Repository, leaseTTL)
	if err != nil {
		return nil
	}
	return held
}

// look brings the tags of a repository up to date, one after another.
func (w *Watcher) look(ctx context.Context, t Target) error {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tags, err := w.tags(ctx, t)
	if err != nil {
		return err
	}
	var failed []error
	for _, tag := range tags {
		if ctx.Err() != nil {
			break
		}
		failed = append(failed, w.o.Images.Refresh(ctx, t.Repository+":"+tag))
	}
	return errors.Join(failed...)
}

// tags resolves a target's patterns. Names need no list, which some registries take long for.
func (w *Watcher) tags(ctx context.Context, t Target) ([]string, error) {
	var out []string
	patterns := false
	for _, p := range t.Tags {
		if IsPattern(p) {
			patterns = true
		} else {
			out = append(out, p)
		}
	}
	if !patterns {
		return out, nil
	}
	all, err := w.o.Images.Tags(ctx, t.Repository)
	if err != nil {
		return nil, fmt.Errorf("listing tags: %w", err)
	}
	for _, tag := range all {
		if !slices.Contains(out, tag) && Matches(t.Tags, tag) {
			out = append(out, tag)
		}
	}
	if len(out) > maxTags {
		w.log.Warn("more tags match than are watched, the last by name are", "repository", t.Repository, "matching",
			len(out), "limit", maxTags)
		out = out[len(out)-maxTags:]
	}
	return out, nil
}

// IsPattern reports whether a tag of a Target stands for others than itself.
func IsPattern(tag string) bool { return strings.ContainsAny(tag, `*?[\`) }

// Matches reports whether a tag is one of those that names and patterns stand for.
func Matches(patterns []string, tag string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, tag)
		return ok && err == nil
	})
}

// jitter returns a time at most a tenth longer or shorter.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// pause waits and reports whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
