package tags

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/rollout"
)

// Returned tells which hosts that got one of some digests under a tag, since a time, asked for the tag again within another;
// ok is false while that is not known.
type Returned func(tag catalog.TagKey, of []digest.Digest, since time.Time, within time.Duration) (s rollout.Seen, ok bool)

const (
	// lookEvery is how long an answer about a version's hosts counts: to count all hosts for each pull would be too much.
	lookEvery = 30 * time.Second
	maxLooks  = 1024
)

// looks are the latest answers about hosts.
type looks struct {
	mu     sync.Mutex
	latest map[looked]lookedAt
}

type looked struct {
	tag    catalog.TagKey
	source digest.Digest
	since  time.Time
}

type lookedAt struct {
	at   time.Time
	seen rollout.Seen
	ok   bool
}

// look asks of a tag's hosts.
func (t *Tags) look(key catalog.TagKey) rollout.Look {
	if t.Returned == nil {
		return nil
	}
	return func(v *catalog.RolledVersion, since time.Time, within time.Duration) (rollout.Seen, bool) {
		t.looks.mu.Lock()
		defer t.looks.mu.Unlock()
		what, now := looked{key, v.SourceDigest, since}, t.Now()
		last := t.looks.latest[what]
		if age := now.Sub(last.at); age >= 0 && age < lookEvery {
			return last.seen, last.ok
		}
		if t.looks.latest == nil || len(t.looks.latest) >= maxLooks {
			t.looks.latest = map[looked]lookedAt{}
		}
		last = lookedAt{at: now}
		last.seen, last.ok = t.Returned(key, rollout.Digests(v), since, within)
		t.looks.latest[what] = last
		return last.seen, last.ok
	}
}
