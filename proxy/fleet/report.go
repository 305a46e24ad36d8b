package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/metrics"
)

// MaxListed is how many hosts a report of a tag lists.
const MaxListed = 1000

var (
	// ErrOff says that no hosts are counted.
	ErrOff = errors.New("hosts are not counted: set fleet.identify")
	// ErrUnknownTag says that no host was seen that got anything under a tag.
	ErrUnknownTag = errors.New("no host was seen that pulled it")
)

// Report tells which hosts got what.
type Report struct {
	// Hosts are how many there are, and Identify what tells them apart.
	Hosts    int    `json:"hosts"`
	Identify string `json:"identify"`
	// Clients are the programs that hosts pull with, those of most hosts first.
	Clients []ClientCount `json:"clients"`
	// Tags are those that hosts got something under, by name.
	Tags []TagReport `json:"tags"`
}

// ClientCount is how many hosts pull with a program of a version, "bootc/1.1.4".
type ClientCount struct {
	Client string `json:"client"`
	Hosts  int    `json:"hosts"`
}

// TagReport tells which versions of a tag, "host/path:tag", hosts got last.
type TagReport struct {
	Reference string `json:"reference"`
	Hosts     int    `json:"hosts"`
	// Current are the hosts that have what the tag stands for, or the newest version of a roll-out; Behind are the others.
	Current int `json:"current"`
	Behind  int `json:"behind"`
	// Versions are those that hosts have, newest first.
	Versions []VersionCount `json:"versions"`
	// List are hosts, in reports of one tag or one host alone: those that are furthest behind first, of these those that
	// were not seen for the longest time; at most MaxListed.
	List []HostReport `json:"list,omitempty"`
}

// VersionCount is how many hosts have a version of a tag.
type VersionCount struct {
	Digest string `json:"digest"`
	// Version is the image's label, absent where it has none.
	Version string `json:"version,omitempty"`
	// Lag is how many versions came after it; -1 when that is not known any more.
	Lag   int `json:"lag"`
	Hosts int `json:"hosts"`
	// Since is when a host first got it, LastSeen when one that has it last asked for the tag.
	Since    time.Time `json:"since,omitzero"`
	LastSeen time.Time `json:"last_seen"`
}

// HostReport tells of a host.
type HostReport struct {
	ID      string `json:"id"`
	Digest  string `json:"digest"`
	Version string `json:"version,omitempty"`
	Lag     int    `json:"lag"`
	Client  string `json:"client,omitempty"`
	// Since is when it first got the version, LastSeen when it last asked for the tag.
	Since    time.Time `json:"since"`
	LastSeen time.Time `json:"last_seen"`
}

// Report tells of all tags, or of one, "host/path:tag", with its hosts. Errors wrap ErrOff or ErrUnknownTag.
func (f *Fleet) Report(only string) (*Report, error) {
	if f == nil || !f.Settings().Enabled() {
		return nil, ErrOff
	}
	out := &Report{Identify: string(f.Settings().Identify), Clients: []ClientCount{}, Tags: []TagReport{}}
	clients, tags := map[string]int{}, map[string]*TagReport{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, part := range f.hosts {
		for _, h := range part {
			counted := false
			for _, p := range h.Pulls {
				if f.tags[p.Tag] != nil && (only == "" || p.Tag == only) {
					f.count(tags, h, p, only != "")
					counted = true
				}
			}
			if counted {
				out.Hosts++
				clients[h.Client]++
			}
		}
	}
	if only != "" && len(tags) == 0 {
		return nil, fmt.Errorf("%s: %w", only, ErrUnknownTag)
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		t := tags[name]
		t.finish()
		out.Tags = append(out.Tags, *t)
	}
	for name, n := range clients {
		out.Clients = append(out.Clients, ClientCount{name, n})
	}
	slices.SortFunc(out.Clients, func(a, b ClientCount) int {
		return cmp.Or(cmp.Compare(b.Hosts, a.Hosts), cmp.Compare(a.Client, b.Client))
	})
	return out, nil
}

// count adds what a host got to a tag's report.
func (f *Fleet) count(tags map[string]*TagReport, h *catalog.FleetHost, p catalog.FleetPull, list bool) {
	t := tags[p.Tag]
	if t == nil {
		t = &TagReport{Reference: p.Tag, Versions: []VersionCount{}}
		tags[p.Tag] = t
	}
	t.Hosts++
	i := slices.IndexFunc(t.Versions, func(v VersionCount) bool { return v.Digest == string(p.Digest) })
	if i < 0 {
		known := f.tags[p.Tag]
		v := VersionCount{Digest: string(p.Digest), Lag: known.lag(p.Digest)}
		if v.Lag >= 0 {
			of := known.versions[len(known.versions)-1-v.Lag]
			v.Version, v.Since = of.Version, of.Since
		}
		t.Versions = append(t.Versions, v)
		i = len(t.Versions) - 1
	}
	v := &t.Versions[i]
	v.Hosts++
	at := time.Unix(p.At, 0).UTC()
	if at.After(v.LastSeen) {
		v.LastSeen = at
	}
	if list {
		t.List = append(t.List, HostReport{ID: fmt.Sprintf("%016x", h.ID), Digest: v.Digest, Version: v.Version, Lag: v.Lag,
			Client: h.Client, Since: time.Unix(p.Since, 0).UTC(), LastSeen: at})
	}
}

// finish sorts a report. What is not known any more is older than all that is.
func (t *TagReport) finish() {
	age := func(lag int) int {
		if lag < 0 {
			return catalog.MaxFleetVersions
		}
		return lag
	}
	slices.SortFunc(t.Versions, func(a, b VersionCount) int {
		return cmp.Or(cmp.Compare(age(a.Lag), age(b.Lag)), cmp.Compare(a.Digest, b.Digest))
	})
	if len(t.Versions) > 0 && t.Versions[0].Lag == 0 {
		t.Current = t.Versions[0].Hosts
	}
	t.Behind = t.Hosts - t.Current
	slices.SortFunc(t.List, func(a, b HostReport) int {
		return cmp.Or(cmp.Compare(age(b.Lag), age(a.Lag)), a.LastSeen.Compare(b.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	t.List = t.List[:min(len(t.List), MaxListed)]
}

// counts are for metrics: hosts by tag and lag.
func (f *Fleet) counts() (out []metrics.HostCount) {
	r, err := f.Report("")
	if err != nil {
		return nil
	}
	for _, t := range r.Tags {
		key, _ := catalog.ParseTagKey(t.Reference)
		for _, v := range t.Versions {
			out = append(out, metrics.HostCount{Repository: key.Repository, Tag: key.Tag, Lag: v.Lag, Hosts: v.Hosts})
		}
	}
	return out
}
