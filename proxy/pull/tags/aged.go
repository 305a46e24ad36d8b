package tags

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/catalog"
)

// maxAged bounds the memory for tags that are served unchecked.
const maxAged = 10_000

// aged remembers for operators which tags clients get as they were last known, since nobody could check them, and since
// when. It outlives an outage's memory, which is for a few seconds: until a client is given a checked answer again, or the
// tag's record says that somebody checked it. It is safe for concurrent use.
type aged struct {
	seen *lru.Cache[catalog.TagKey, unchecked]
}

func newAged() *aged {
	seen, _ := lru.New[catalog.TagKey, unchecked](maxAged) // fails for sizes below 1 only
	return &aged{seen}
}

type unchecked struct{ since, last time.Time }

// note remembers that a client was answered now with what was last checked at a time.
func (a *aged) note(tag catalog.TagKey, checked, now time.Time) {
	u, ok := a.seen.Get(tag)
	if !ok || checked.After(u.last) {
		u.since = now
	}
	u.last = now
	a.seen.Add(tag, u)
}

func (a *aged) forget(tag catalog.TagKey) { a.seen.Remove(tag) }

// StaleSince tells since when clients are answered with what was last known of a tag, whose record says when it was checked
// last; zero where they are not, as far as this process knows. It asks nobody, and says so until a client's pull or a check
// shows that the upstream is back.
func (t *Tags) StaleSince(tag catalog.TagKey, checked time.Time) time.Time {
	u, ok := t.aged.seen.Peek(tag)
	if !ok || checked.After(u.last) {
		return time.Time{}
	}
	return u.since.UTC()
}
