package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	// absentFor is how long it is believed that an upstream does not have something.
	absentFor = 10 * time.Second
	// absentTimes is how often in a row an upstream has to say so: a refusal or two may be a fault that has passed.
	absentTimes = 3
	// maxAbsent bounds how many such things are remembered.
	maxAbsent = 4096

	// missSlots is how many questions may be under way, or have been asked in vain within missPause, in each repository
	// that something was found in and, together, in all others of a host.
	missSlots = 48
	missPause = 20 * time.Second
	// missPatience is how long a question waits for those under way.
	missPatience = 5 * time.Second
	// maxMissLimits bounds the hosts that this is counted for.
	maxMissLimits = 1024
)

// question is what was asked of a repository: "manifests/stable", "blobs/sha256:…", "tags".
type question struct {
	repo name.Repository
	what string
}

// absence is an upstream's word that something does not exist, or is not for us.
type absence struct {
	err   *upstream.Error
	at    time.Time
	times int // it was said in a row
}

// absences remember for a short time what upstreams do not have. They are safe for concurrent use.
type absences struct {
	seen *lru.Cache[question, absence]
	now  func() time.Time
}

func newAbsences(now func() time.Time) (*absences, error) {
	seen, err := lru.New[question, absence](maxAbsent)
	if err != nil {
		return nil, fmt.Errorf("absences: %w", err)
	}
	return &absences{seen: seen, now: now}, nil
}

// recall returns the error of a question that need not be asked again yet, or nil. It wraps upstream.ErrHeld.
func (a *absences) recall(q question, op string) error {
	gone, ok := a.seen.Get(q)
	if !ok {
		return nil
	}
	ago := a.now().Sub(gone.at)
	if ago < 0 || ago >= absentFor {
		a.seen.Remove(q)
		return nil
	}
	if gone.times < absentTimes {
		return nil
	}
	again := *gone.err
	again.Op = op
	again.Err = fmt.Errorf("%w again: it said so %s ago", upstream.ErrHeld, ago.Round(time.Second))
	if gone.err.Err != nil {
		again.Err = fmt.Errorf("%w: %w", gone.err.Err, again.Err)
	}
	return &again
}

// note remembers the outcome of a question, and reports whether it was asked in vain.
func (a *absences) note(q question, err error) (missed bool) {
	if err == nil {
		a.seen.Remove(q)
		return false
	}
	var e *upstream.Error
	if !errors.As(err, &e) || errors.Is(err, upstream.ErrHeld) {
		return false
	}
	switch e.Kind {
	case upstream.NotFound, upstream.Denied: // several registries deny what does not exist
		before, _ := a.seen.Get(q)
		a.seen.Add(q, absence{e, a.now(), before.times + 1})
		return true
	case upstream.Unauthorized:
		return true
	}
	return false
}

// missLimit bounds how fast questions are asked in vain. A question takes a slot; one that finds something gives it back
// at once, one that was asked in vain after a pause. It is safe for concurrent use.
type missLimit struct {
	slots   chan struct{}
	pausing atomic.Int32 // slots of questions that were asked in vain
}

func newMissLimit() *missLimit { return &missLimit{slots: make(chan struct{}, missSlots)} }

// enter waits for a slot: not for longer than patience, and not at all while all of them pause. Whoever gets one calls
// leave once, with the outcome.
func (m *missLimit) enter(ctx context.Context, patience time.Duration) (leave func(missed bool), err error) {
	select {
	case m.slots <- struct{}{}:
	default:
		if err := m.wait(ctx, patience); err != nil {
			return nil, err
		}
	}
	return func(missed bool) {
		if !missed {
			<-m.slots
			return
		}
		m.pausing.Add(1)
		time.AfterFunc(missPause, func() {
			m.pausing.Add(-1)
			<-m.slots
		})
	}, nil
}

// wait takes the next slot that becomes free.
func (m *missLimit) wait(ctx context.Context, patience time.Duration) error {
	if m.pausing.Load() >= missSlots {
		patience = 0
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &upstream.Error{
			Kind: upstream.RateLimited, RetryAfter: missPause,
			Err: fmt.Errorf("%w: too many questions were asked in vain", upstream.ErrHeld),
		}
	}
}

// ask asks a question by calling run. One about what nobody here knows yet, which a stranger may have made up, is not
// asked when the upstream answered it in vain a moment ago, and not faster than misses are borne with.
func (s *session) ask(ctx context.Context, op, what string, unknown bool, run func(context.Context) error) error {
	q := question{s.repo, what}
	if !unknown {
		err := run(ctx)
		s.absent().note(q, err)
		s.foundIf(err == nil)
		return err
	}
	if err := s.absent().recall(q, op); err != nil {
		return err
	}
	leave, err := s.missLimit().enter(ctx, missPatience)
	if err != nil {
		return s.fail(ctx, op, err)
	}
	missed := false
	defer func() { leave(missed) }()
	err = run(transport.Unknown(ctx))
	if missed = s.absent().note(q, err); missed {
		s.host.Missed()
	}
	s.foundIf(err == nil)
	return err
}

func (s *session) absent() *absences { return s.client.absent }

// missLimit returns what bounds a repository's misses: its own limit when something was found in it, else that of all
// such repositories of the host, so that made-up names cost those that exist nothing.
func (s *session) missLimit() *missLimit {
	if s.found.Load() {
		return s.misses
	}
	if m, ok := s.client.missLimits.Get(s.repo.Host()); ok {
		return m
	}
	m := newMissLimit()
	if earlier, ok, _ := s.client.missLimits.PeekOrAdd(s.repo.Host(), m); ok {
		return earlier
	}
	return m
}
