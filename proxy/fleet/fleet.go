// Package fleet knows which hosts run what, as far as pulls tell: a host gets a manifest by its tag, or that of a version of
// the tag by its digest, and what it got last is what it runs, or will once it restarts.
//
// A host is named by a keyed hash of its address, its login or its certificate, so that nothing that is kept or shown says
// who it is. What is seen is kept in memory and joined every minute with the records that all replicas share; reports are
// made from memory alone. All of it is bounded: hosts, those that one network may bring in an hour, tags, versions, and what
// is known of a host.
package fleet

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unique"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
)

const (
	parts = 256
	// maxTags bounds the tags that hosts are counted of; one that nobody asked for for idleTag goes for another.
	maxTags = 8192
	idleTag = 24 * time.Hour
	// maxNew bounds the hosts that a network, of 24 bits of an IPv4 address or 48 of an IPv6 one, may bring in an hour, and
	// maxNetworks the networks that are counted.
	maxNew      = 2048
	maxNetworks = 4096
)

// Options are what a Fleet is made of; Leases and Metrics may be nil.
type Options struct {
	Hosts *catalog.Table[string, catalog.Fleet]
	Tags  *catalog.Table[catalog.TagKey, catalog.FleetTag]
	// Settings are those of now. Without Identify nobody is counted.
	Settings func() config.Fleet
	// Label returns the version that an image of a repository, "host/path", bears; "" where it has none, or it is not known.
	Label func(ctx context.Context, repository string, d digest.Digest) string
	// Leases let one of several replicas write a record.
	Leases  *lease.Leases
	Metrics Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Metrics are told how many hosts of a tag are so many versions behind, tag by tag; nil: nobody is.
type Metrics interface {
	Hosts(counts []metrics.HostCount)
}

// Sighting is an answer to a host: a manifest.
type Sighting struct {
	// Repository is "host/path", Tag empty for a request by digest.
	Repository, Tag string
	Digest          digest.Digest
	// Got says that the host got the manifest's bytes. Without, it asked what the tag stands for.
	Got bool
	// Earlier says that other hosts get a newer version by the tag.
	Earlier bool
	// User and Certificate are names, empty where the host has none.
	User, Certificate string
	Address           netip.Addr
	Agent             string // the User-Agent
}

// Fleet counts hosts. It is safe for concurrent use. A nil Fleet counts nothing.
type Fleet struct {
	Options

	mu     sync.Mutex
	secret []byte // nil until it is read
	hosts  [parts]map[uint64]*catalog.FleetHost
	dirty  [parts]bool
	tags   map[string]*tag
	// of are the tags of a repository, and listed is when the store last said which tags there are.
	of     map[string]map[string]*tag
	listed time.Time
	// watching is since when what hosts do is seen and written without a break; zero: it is not.
	watching time.Time
	// newcomers are the hosts that networks brought since a time.
	newcomers map[netip.Prefix]int
	since     time.Time
}

// tag has the versions of a tag, in the order in which it came to stand for them.
type tag struct {
	versions []catalog.FleetVersion
	dirty    bool
	at       time.Time // when a host last asked
}

// New makes a fleet. Run reads and writes what is known.
func New(o Options) *Fleet {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{Options: o, tags: map[string]*tag{}, of: map[string]map[string]*tag{}, newcomers: map[netip.Prefix]int{}}
	for i := range f.hosts {
		f.hosts[i] = map[uint64]*catalog.FleetHost{}
	}
	return f
}

// who names a host as the settings say; "" for one that is not counted.
func who(by config.Identify, s Sighting) string {
	switch {
	case by == config.IdentifyUser && s.User != "":
		return "user " + s.User
	case by == config.IdentifyCertificate && s.Certificate != "":
		return "certificate " + s.Certificate
	case by == config.IdentifyAddress && s.Address.IsValid():
		return "address " + network(s.Address, 32, 64).Addr().String()
	}
	return ""
}

// id is what a host is listed as. The caller holds f.mu, and the secret is read.
func (f *Fleet) id(host string) uint64 {
	mac := hmac.New(sha256.New, f.secret)
	mac.Write([]byte(host))
	return binary.BigEndian.Uint64(mac.Sum(nil))
}

// network is the network of an address, of so many bits.
func network(a netip.Addr, v4, v6 int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := v6
	if a.Is4() {
		bits = v4
	}
	p, _ := a.Prefix(bits) // fails for what is no address
	return p
}

// Saw notes an answer. Tags under which signatures and the like are kept are none that a host runs.
func (f *Fleet) Saw(s Sighting) {
	if f == nil || s.Digest == "" || name.Reference(s.Tag).AboutImage() {
		return
	}
	host := who(f.Settings().Identify, s)
	if host == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secret == nil {
		return
	}
	now := f.Now()
	key, t := f.tagOf(s, now)
	if t == nil {
		return
	}
	id := f.id(host)
	h := f.hosts[id>>56][id]
	if h == nil && s.Got {
		h = f.newcomer(id, s.Address, now)
	}
	if h == nil {
		return
	}
	if c := client(s.Agent); c != "" {
		h.Client = unique.Make(c).Value()
	}
	if note(h, key, s, now.Unix()) {
		f.dirty[id>>56] = true
		t.at = now
	}
}

// tagOf returns the tag that a host has asked for. A digest stands for a tag that hosts got it by. The caller holds f.mu.
func (f *Fleet) tagOf(s Sighting, now time.Time) (string, *tag) {
	key := unique.Make(catalog.TagKey{Repository: s.Repository, Tag: s.Tag}.String()).Value()
	if s.Tag == "" {
		return f.tagWith(s.Repository, s.Digest)
	}
	t := f.tags[key]
	if t == nil {
		if !s.Got {
			return "", nil
		}
		if t = f.newTag(key, now); t == nil {
			return "", nil
		}
	}
	switch {
	case s.Got && !t.has(s.Digest):
		t.add(catalog.FleetVersion{Digest: digest.Digest(unique.Make(string(s.Digest)).Value()), Since: now.UTC()})
		t.dirty = true
	case !s.Earlier && t.lag(s.Digest) > 0: // it was rolled back
		t.again(s.Digest, now)
		t.dirty = true
	}
	return key, t
}

// tagWith returns the tag of a repository that hosts last got a digest by.
func (f *Fleet) tagWith(repository string, d digest.Digest) (key string, of *tag) {
	for k, t := range f.of[repository] {
		if t.has(d) && (of == nil || t.at.After(of.at)) {
			key, of = k, t
		}
	}
	return key, of
}

// newTag makes a tag. Where there are too many, one goes for it that nobody asked for for long, or there is no room: nil.
func (f *Fleet) newTag(key string, now time.Time) *tag {
	if len(f.tags) >= maxTags {
		oldest := ""
		for k, t := range f.tags {
			if oldest == "" || t.at.Before(f.tags[oldest].at) {
				oldest = k
			}
		}
		if now.Sub(f.tags[oldest].at) < idleTag {
			return nil
		}
		f.forgetTag(oldest)
	}
	t := &tag{at: now}
	f.tags[key] = t
	k, _ := catalog.ParseTagKey(key)
	if f.of[k.Repository] == nil {
		f.of[k.Repository] = map[string]*tag{}
	}
	f.of[k.Repository][key] = t
	return t
}

func (f *Fleet) forgetTag(key string) {
	delete(f.tags, key)
	k, _ := catalog.ParseTagKey(key)
	if delete(f.of[k.Repository], key); len(f.of[k.Repository]) == 0 {
		delete(f.of, k.Repository)
	}
}

func (t *tag) has(d digest.Digest) bool { return t.lag(d) >= 0 }

// lag is how many versions came after one; -1 for one that is not known.
func (t *tag) lag(d digest.Digest) int {
	for i := len(t.versions) - 1; i >= 0; i-- {
		if t.versions[i].Digest == d {
			return len(t.versions) - 1 - i
		}
	}
	return -1
}

// again puts a version that the tag went back to behind all others: it came once more.
func (t *tag) again(d digest.Digest, now time.Time) {
	last := came(t.versions[len(t.versions)-1])
	i := len(t.versions) - 1 - t.lag(d)
	v := t.versions[i]
	if v.Again = now.UTC(); !v.Again.After(last) {
		v.Again = last.Add(1)
	}
	t.versions = append(slices.Delete(t.versions, i, i+1), v)
}

// came is when the tag came to stand for a version.
func came(v catalog.FleetVersion) time.Time {
	if v.Again.After(v.Since) {
		return v.Again
	}
	return v.Since
}

func (t *tag) add(v catalog.FleetVersion) {
	t.versions = append(t.versions, v)
	t.versions = t.versions[max(len(t.versions)-catalog.MaxFleetVersions, 0):]
}

// newcomer returns a host that was not seen before; nil when its network brought too many. The caller holds f.mu.
func (f *Fleet) newcomer(id uint64, from netip.Addr, now time.Time) *catalog.FleetHost {
	if now.Sub(f.since) > time.Hour || now.Before(f.since) {
		clear(f.newcomers)
		f.since = now
	}
	p := network(from, 24, 48)
	if f.newcomers[p] >= maxNew || f.newcomers[p] == 0 && len(f.newcomers) >= maxNetworks {
		return nil
	}
	f.newcomers[p]++
	h := &catalog.FleetHost{ID: id}
	f.hosts[id>>56][id] = h
	bound(f.hosts[id>>56])
	return h
}

// bound forgets the host that was not seen for the longest time where there are too many.
func bound(part map[uint64]*catalog.FleetHost) {
	for len(part) > catalog.MaxFleetPart {
		var oldest *catalog.FleetHost
		for _, h := range part {
			if len(h.Pulls) > 0 && (oldest == nil || seen(h) < seen(oldest)) {
				oldest = h
			}
		}
		if oldest == nil {
			return
		}
		delete(part, oldest.ID)
	}
}

// seen is when a host was last seen.
func seen(h *catalog.FleetHost) (at int64) {
	for _, p := range h.Pulls {
		at = max(at, p.At)
	}
	return at
}

// note notes what a host got, and reports whether there is something to know of it.
func note(h *catalog.FleetHost, key string, s Sighting, now int64) bool {
	i := slices.IndexFunc(h.Pulls, func(p catalog.FleetPull) bool { return p.Tag == key })
	if i < 0 {
		if !s.Got {
			return false
		}
		h.Pulls = append(h.Pulls, catalog.FleetPull{Tag: key})
		i = len(h.Pulls) - 1
	}
	p := &h.Pulls[i]
	if s.Got && p.Digest != s.Digest {
		p.Digest, p.Since = digest.Digest(unique.Make(string(s.Digest)).Value()), now
	}
	p.At = max(p.At, now)
	h.Pulls = newest(h.Pulls)
	return true
}

// newest keeps those pulls that were seen last.
func newest(of []catalog.FleetPull) []catalog.FleetPull {
	if len(of) <= catalog.MaxFleetPulls {
		return of
	}
	slices.SortStableFunc(of, func(a, b catalog.FleetPull) int { return cmp.Compare(b.At, a.At) })
	return slices.Clip(of[:catalog.MaxFleetPulls])
}
