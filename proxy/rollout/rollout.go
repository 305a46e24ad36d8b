// Package rollout decides which version of a tag a host gets, and when a version reaches more hosts.
//
// A roll-out's record lists what the tag stood for, oldest first, and says of each version which hosts it is for: a share of
// all, told by a hash of who asks and what, and those that come first. Which of them got it is noted beside it. Two things
// are kept apart. Pick looks at records alone, so that all replicas give a host the same, at any time and by any clock.
// Advance is what the rule and the clock have to say: what it changes is written into the record before anybody is answered
// by it. A host gets the newest version that it had or that is for it, so none goes back until an operator withdraws a
// version. While a version is to reach no more hosts, it is for those alone that had it.
//
// The package does no I/O and reads no clock.
package rollout

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Host is who asks. The zero value is a host of which nothing is known.
type Host struct {
	// User is the name that it logged in with, empty for one that did not.
	User string
	// Address is where it connects from.
	Address netip.Addr
}

// network is how many bits of an IPv6 address tell hosts apart: the rest changes.
const network = 64

// Who names a host: hosts with the same name get the same. A login goes before the address.
func (h Host) Who() string {
	if h.User != "" {
		return "user " + h.User
	}
	addr := h.Address.Unmap().WithZone("")
	if p, err := addr.Prefix(network); err == nil && addr.Is6() {
		addr = p.Addr()
	}
	return "address " + addr.String()
}

// among reports whether a host is one of those that networks and names stand for.
func (h Host) among(first []string) bool {
	return slices.ContainsFunc(first, func(f string) bool {
		if f == h.User {
			return true
		}
		if addr, err := netip.ParseAddr(f); err == nil {
			return addr == h.Address
		}
		p, err := netip.ParsePrefix(f)
		return err == nil && p.Contains(h.Address)
	})
}

// ID names a host among those that a version of a repository, "host/path", reached.
func (h Host) ID(repository string) uint64 {
	sum := sha256.Sum256([]byte("strata rollout host\x00" + repository + "\x00" + h.Who()))
	return binary.BigEndian.Uint64(sum[:8])
}

// Place is where a host stands in the line for a version of a repository, "host/path", from 0 to less than 1: a share of
// more than that reaches it. The same version of another tag finds it at the same place, another version at another.
func Place(repository string, source digest.Digest, h Host) float64 {
	sum := sha256.Sum256([]byte("strata rollout\x00" + repository + "\x00" + source.String() + "\x00" + h.Who()))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// Reach reports whether a version, at index i of a roll-out, reached a host before. With now it is to reach it from now on:
// then it notes that, and reports whether there was room to.
type Reach func(i int, now bool) (bool, error)

// Pick returns the index of the version that a host gets: the newest that reached it, or reaches it now. Errors are those of
// reach.
func Pick(repository string, r *catalog.Rollout, h Host, reach Reach) (int, error) {
	for i := len(r.Versions) - 1; i > 0; i-- {
		v := &r.Versions[i]
		if v.Withdrawn != nil || v.BegunAt.IsZero() {
			continue
		}
		gets := v.Complete() || Place(repository, v.SourceDigest, h) < v.Share || h.among(v.First)
		if v.Counted && !v.Complete() {
			frozen := r.Held != nil || !v.RevertedAt.IsZero()
			var err error
			if gets, err = reach(i, gets && !frozen); err != nil {
				return 0, err
			}
		}
		if gets {
			return i, nil
		}
	}
	return base(r), nil
}

// base returns the oldest version that was not withdrawn: one that reached all hosts.
func base(r *catalog.Rollout) int {
	return max(slices.IndexFunc(r.Versions, func(v catalog.RolledVersion) bool { return v.Withdrawn == nil }), 0)
}

// Stable returns the newest version that all hosts get, or a newer one.
func Stable(r *catalog.Rollout) *catalog.RolledVersion {
	for i := len(r.Versions) - 1; i >= 0; i-- {
		if r.Versions[i].Complete() {
			return &r.Versions[i]
		}
	}
	return &r.Versions[base(r)]
}

// Newest returns the newest version that hosts get and that goes on: neither was it withdrawn, nor did the tag go back from
// it.
func Newest(r *catalog.Rollout) *catalog.RolledVersion {
	for i := len(r.Versions) - 1; i > 0; i-- {
		if v := &r.Versions[i]; v.Withdrawn == nil && v.RevertedAt.IsZero() && !v.BegunAt.IsZero() {
			return v
		}
	}
	return &r.Versions[base(r)]
}

// Settled reports whether all hosts get the newest version.
func Settled(r *catalog.Rollout) bool {
	return r.Versions[len(r.Versions)-1].Complete()
}

// New returns the roll-out of a tag that stands for a version which all hosts get.
func New(v catalog.RolledVersion, now time.Time) *catalog.Rollout {
	v.MadeAt, v.BegunAt, v.StepAt, v.Share = now.UTC(), now.UTC(), now.UTC(), 1
	return &catalog.Rollout{Versions: []catalog.RolledVersion{v}}
}

// Recover returns the roll-out of a tag whose record was lost, of what is known: the newest version that all hosts got, and
// what the tag stands for, which only those get that had it until an operator releases it.
func Recover(stable, newest catalog.RolledVersion, now time.Time) *catalog.Rollout {
	r := New(stable, now)
	if newest.SourceDigest == stable.SourceDigest {
		return New(newest, now)
	}
	newest.MadeAt, newest.BegunAt, newest.StepAt, newest.Counted = now.UTC(), now.UTC(), now.UTC(), true
	newest.Share, newest.First = 0, nil
	r.Versions = append(r.Versions, newest)
	_ = Hold(r, Schedule, "the roll-out's record was lost", now)
	return r
}

// Add puts a new version at the end, which reaches nobody yet. What was made anew of the newest one's source takes its
// place: it is the same version. When the tag goes back to a version that is listed, those in between reach no more
// hosts: whoever publishes them has taken them back. full says that there is no room: as many versions as there may be are
// reaching hosts now.
func Add(r *catalog.Rollout, v catalog.RolledVersion, now time.Time) (changed, full bool) {
	reverted := revert(r, v.SourceDigest, now)
	moved := comeBack(r, v.SourceDigest)
	last := &r.Versions[len(r.Versions)-1]
	if last.SourceDigest == v.SourceDigest {
		was := *last
		resumed := resumeReverted(last, now)
		last.SourceType, last.Digest, last.MediaType = v.SourceType, v.Digest, v.MediaType
		last.Served, last.Policy = v.Served, v.Policy
		return reverted || moved || resumed || last.Digest != was.Digest || last.MediaType != was.MediaType ||
			last.Served != was.Served || last.Policy != was.Policy || last.SourceType != was.SourceType, false
	}
	v.MadeAt, v.RevertedAt = now.UTC(), time.Time{}
	trim(r)
	if !room(r) {
		return false, true
	}
	r.Versions = append(r.Versions, v)
	return true, false
}

// revert takes back what came after a version that the tag stands for again: what nobody has goes, unless an operator
// withdrew it, and the rest stays with the hosts that have it. It reports whether it changed anything.
func revert(r *catalog.Rollout, to digest.Digest, now time.Time) (changed bool) {
	at := -1
	for i := range r.Versions {
		if r.Versions[i].SourceDigest == to {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	n := len(r.Versions)
	kept := r.Versions[:at+1]
	for _, v := range r.Versions[at+1:] {
		switch {
		case v.Withdrawn != nil || v.Complete():
		case v.BegunAt.IsZero():
			continue
		case v.RevertedAt.IsZero():
			v.RevertedAt, changed = now.UTC(), true
		}
		kept = append(kept, v)
	}
	r.Versions = kept
	return changed || len(kept) != n
}

// comeBack makes a version the newest again that is listed and that not all hosts have, or all get since what came later
// was withdrawn. It goes on with the hosts that it had, and is still withdrawn if an operator said so. It reports whether
// another was the newest.
func comeBack(r *catalog.Rollout, source digest.Digest) bool {
	withdrawn := true // all after i
	for i := len(r.Versions) - 1; i >= 0; i-- {
		v := r.Versions[i]
		withdrawn = withdrawn && (i == len(r.Versions)-1 || r.Versions[i+1].Withdrawn != nil)
		if v.SourceDigest == source && (!v.Complete() || withdrawn) {
			r.Versions = append(slices.Delete(r.Versions, i, i+1), v)
			return i < len(r.Versions)-1
		}
	}
	return false
}

// resumeReverted has a version go on that the tag stands for again. The time in between does not count for its steps.
func resumeReverted(v *catalog.RolledVersion, now time.Time) (changed bool) {
	if v.RevertedAt.IsZero() {
		return false
	}
	v.PausedSeconds += max(now.Sub(v.RevertedAt).Seconds(), 0)
	v.RevertedAt = time.Time{}
	return true
}

// room sees that there is room for one more version, and reports whether there is: one that no host has goes for it.
func room(r *catalog.Rollout) bool {
	if len(r.Versions) < catalog.MaxRolled {
		return true
	}
	i := slices.IndexFunc(r.Versions, func(v catalog.RolledVersion) bool { return v.Withdrawn != nil })
	if last := len(r.Versions) - 1; i < 0 && r.Versions[last].BegunAt.IsZero() {
		i = last
	}
	if i < 0 {
		return false
	}
	r.Versions = slices.Delete(r.Versions, i, i+1)
	return true
}

// trim drops versions that no host gets, but for the one to go back to, the last other one that was complete before the
// newest that is, and for those that an operator withdrew: the tag may come back to them.
func trim(r *catalog.Rollout) {
	var complete []int
	for i := range r.Versions {
		if r.Versions[i].Complete() {
			complete = append(complete, i)
		}
	}
	if len(complete) == 0 {
		return
	}
	newest, before := complete[len(complete)-1], -1
	for _, i := range complete {
		if r.Versions[i].SourceDigest != r.Versions[newest].SourceDigest {
			before = i
		}
	}
	var kept []catalog.RolledVersion
	for i, v := range r.Versions {
		if i >= newest || i == before || v.Withdrawn != nil {
			kept = append(kept, v)
		}
	}
	r.Versions = kept
}

// note appends to the log, and drops what is oldest there.
func note(r *catalog.Rollout, e catalog.RolloutEvent) {
	e.At = e.At.UTC()
	e.By, e.Note = legible.Clip(e.By, catalog.MaxRolloutText), legible.Clip(e.Note, catalog.MaxRolloutText)
	r.Log, r.Changes = append(r.Log, e), r.Changes+1
	r.Log = r.Log[max(len(r.Log)-catalog.MaxRolloutLog, 0):]
}

// percent writes a share for people.
func percent(share float64) string { return config.Percent(math.Round(share*1e6) / 1e6).String() }

// Explain says in one line what a host is told that gets the version at index i: empty while all hosts get the newest.
func Explain(r *catalog.Rollout, i int, rule config.Rollout, now time.Time) string {
	last := &r.Versions[len(r.Versions)-1]
	since := "; stable since " + r.Versions[i].StepAt.UTC().Format(time.RFC3339)
	switch {
	case last.Complete() && i == len(r.Versions)-1:
		return ""
	case i == len(r.Versions)-1:
		return fmt.Sprintf("new; %s of hosts", percent(last.Share))
	case r.Held != nil && r.Held.By == Automatic:
		return "held automatically" + since
	case r.Held != nil:
		return "held" + since
	case r.Versions[i].SourceDigest == last.SourceDigest:
		return "reverted" + since
	case last.Withdrawn != nil:
		return "withdrawn" + since
	}
	at, share := Next(r, len(r.Versions)-1, rule, now)
	switch {
	case last.BegunAt.IsZero() && at.After(now):
		return fmt.Sprintf("held until %s, then %s of hosts", at.Format(time.RFC3339), percent(share)) + since
	case last.BegunAt.IsZero():
		return "held" + since
	}
	return fmt.Sprintf("waiting; %s of hosts have the next%s", percent(last.Share), following(at, share, now)) + since
}

// following says which hosts come next.
func following(at time.Time, share float64, now time.Time) string {
	switch {
	case share == 0:
		return ""
	case at.After(now):
		return fmt.Sprintf(", %s from %s", percent(share), at.Format(time.RFC3339))
	}
	return fmt.Sprintf(", %s once hosts were seen again", percent(share))
}
