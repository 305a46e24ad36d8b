package rollout

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Automatic is who a log says held a roll-out because of its hosts, or of an alert.
const Automatic = "automatic"

// Seen tells what became of the hosts that got a version.
type Seen struct {
	// Hosts are how many got it. Back are those of them that were seen again, and Overdue those that were not, though they
	// have had the time that they are given.
	Hosts, Back, Overdue int
	// Watched says that hosts were watched for all of that time: those that are overdue had somebody to ask.
	Watched bool
}

// Look tells of the hosts that got a version since a time, which are to be seen again within another; ok is false while
// nobody knows.
type Look func(v *catalog.RolledVersion, since time.Time, within time.Duration) (seen Seen, ok bool)

// rest is what may be lacking of a number of hosts. The small number is for what a share can't be written as exactly.
func rest(q config.Requirement, hosts int) float64 { return (1-float64(q.Share))*float64(hosts) + 1e-9 }

// failed reports whether too few hosts came back, whatever those do that still have time.
func (s Seen) failed(q config.Requirement) bool {
	return s.Watched && float64(s.Overdue) > rest(q, s.Hosts)
}

// enough reports whether so many hosts came back, of those of which it is known, that others may follow. A step that nobody
// took says nothing against the next one.
func (s Seen) enough(q config.Requirement) bool {
	known := s.Back + s.Overdue
	return s.Hosts == 0 || known > 0 && float64(s.Overdue) <= rest(q, known)
}

// required returns the share of hosts that a version gets in place of the one that its time is for: no step is left out, and
// none comes before it is known what became of the one before. It holds the roll-out where too few hosts came back.
func required(r *catalog.Rollout, v *catalog.RolledVersion, due float64, rule config.Rollout, now time.Time,
	look Look) float64 {
	if v.BegunAt.IsZero() {
		return max(float64(rule.Steps[0].Share), v.Share)
	}
	q, within := rule.Require, time.Duration(rule.Require.Within)
	var seen Seen
	ok := false
	if look != nil {
		seen, ok = look(v, Since(v, q), within)
	}
	switch {
	case !ok:
		return v.Share
	case seen.failed(q):
		_ = Hold(r, Automatic, fmt.Sprintf("%d of %s that got it %s not seen again within %s; required are %s",
			seen.Overdue, legible.Count(seen.Hosts, "host"), legible.Word(seen.Overdue, "was", "were"), q.Within, q.Share),
			now)
		return v.Share
	case now.Before(v.StepAt.Add(within)) || !seen.enough(q):
		return v.Share
	}
	return max(min(float64(next(v, rule).Share), due), v.Share)
}

// Digests are those by which hosts may have got a version: of the image that was made, or of the original.
func Digests(v *catalog.RolledVersion) []digest.Digest {
	if v.Digest == v.SourceDigest {
		return []digest.Digest{v.Digest}
	}
	return []digest.Digest{v.Digest, v.SourceDigest}
}

// Since returns the time from which on hosts that got a version are told apart by whether they were seen again: some before
// its last step, as of those nothing was known then.
func Since(v *catalog.RolledVersion, q config.Requirement) time.Time {
	since := v.StepAt.Add(-2 * time.Duration(q.Within))
	if v.JudgedFrom.After(since) {
		since = v.JudgedFrom
	}
	return since
}

// next returns the step that brings a version to more hosts than it has; the last one where none does.
func next(v *catalog.RolledVersion, rule config.Rollout) config.Step {
	for _, s := range rule.Steps {
		if float64(s.Share) > v.Share {
			return s
		}
	}
	return rule.Steps[len(rule.Steps)-1]
}
