package fleet

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// again is how long after a host got a version it counts as seen again: what comes sooner is the same pull.
	again = 5 * time.Minute
	// settle is how long it takes until each replica knows what the others saw.
	settle = (rounds + 2) * flushEvery
)

// Returned tells what became of hosts that got a version.
type Returned struct {
	// Hosts are how many have it. Back are those of them that asked for the tag again, and Overdue those that did not though
	// they had the time to.
	Hosts, Back, Overdue int
	// Watched says that hosts were watched for all of that time.
	Watched bool
}

// Returned tells what became of the hosts that have one of some digests under a tag, "host/path:tag", which they got since a
// time: whether they asked for the tag again within another. ok is false while it is not known which hosts there are.
func (f *Fleet) Returned(name string, of []digest.Digest, since time.Time, within time.Duration) (out Returned, ok bool) {
	if f == nil || !f.Settings().Enabled() {
		return Returned{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secret == nil {
		return Returned{}, false
	}
	deadline := f.Now().Add(-within - settle)
	out.Watched = !f.watching.IsZero() && !f.watching.After(deadline)
	for _, part := range f.hosts {
		for _, h := range part {
			for _, p := range h.Pulls {
				if p.Tag != name || p.Since < since.Unix() || !slices.Contains(of, p.Digest) {
					continue
				}
				out.Hosts++
				switch {
				case p.At-p.Since >= int64(again/time.Second):
					out.Back++
				case p.Since <= deadline.Unix():
					out.Overdue++
				}
			}
		}
	}
	return out, true
}
