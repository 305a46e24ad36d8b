package tags

import (
	"context"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	// outageFor is how long an upstream that failed is not asked again for what can be answered without it.
	outageFor = 15 * time.Second
	// maxOutage bounds how long an upstream's Retry-After is heeded.
	maxOutage = 10 * time.Minute
	// maxOutages bounds the memory for them.
	maxOutages = 10_000
)

// outages remember which questions upstreams failed to answer a moment ago, so that an upstream that is down is not
// waited for on every pull. They are safe for concurrent use.
type outages struct {
	seen *lru.Cache[string, outage] // by host, or by tag where the host did answer
}

func newOutages() *outages {
	seen, _ := lru.New[string, outage](maxOutages) // fails for sizes below 1 only
	return &outages{seen}
}

type outage struct {
	until time.Time
	err   error
}

// note remembers a failed question about a tag. What was not even asked is remembered by who did not ask it.
func (o *outages) note(now time.Time, host, tag string, err error) {
	if errors.Is(err, upstream.ErrHeld) {
		return
	}
	key, wait := tag, outageFor
	var up *upstream.Error
	switch {
	case errors.As(err, &up) && up.Kind == upstream.RateLimited:
		key, wait = host, min(max(up.RetryAfter, outageFor), maxOutage)
	case up != nil && up.Status == 0 && (up.Kind == upstream.Unavailable || up.Kind == upstream.Timeout),
		errors.Is(err, context.DeadlineExceeded):
		key = host
	}
	o.seen.Add(key, outage{now.Add(wait), err})
}

// recall returns the error of a question that need not be asked again now. Where there is nothing else to answer with,
// only rate limits count.
func (o *outages) recall(now time.Time, host, tag string, answerable bool) error {
	for _, key := range []string{host, tag} {
		out, ok := o.seen.Get(key)
		if !ok {
			continue
		}
		if !now.Before(out.until) {
			o.seen.Remove(key)
			continue
		}
		var up *upstream.Error
		if errors.As(out.err, &up) && up.Kind == upstream.RateLimited {
			again := *up
			again.RetryAfter = out.until.Sub(now)
			return &again
		}
		if answerable {
			return out.err
		}
	}
	return nil
}

// forget notes that an upstream answers.
func (o *outages) forget(host, tag string) {
	o.seen.Remove(host)
	o.seen.Remove(tag)
}
