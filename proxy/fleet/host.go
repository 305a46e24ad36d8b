package fleet

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/strata-oci/strata/proxy/config"
)

var (
	// ErrUnknownHost says that no such host was seen, or that it was forgotten.
	ErrUnknownHost = errors.New("no such host was seen")
	// ErrNoHost says that a name is none by which hosts are told apart.
	ErrNoHost = errors.New("hosts are told apart by another kind of name")
)

// Host tells of one host: what it got, of all tags or of one, "host/path:tag", listed as it is in reports of tags. It is
// named by the address, login or certificate's name that hosts are told apart by. Errors wrap ErrOff, ErrNoHost or
// ErrUnknownHost.
func (f *Fleet) Host(named, only string) (*Report, error) {
	if f == nil || !f.Settings().Enabled() {
		return nil, ErrOff
	}
	by := f.Settings().Identify
	s := Sighting{User: named, Certificate: named}
	if by == config.IdentifyAddress {
		address, err := netip.ParseAddr(named)
		if err != nil {
			return nil, fmt.Errorf("%.100q is no address, and fleet.identify is %s: %w", named, by, ErrNoHost)
		}
		s.Address = address
	}
	host := who(by, s)
	if host == "" {
		return nil, fmt.Errorf("the name is empty: %w", ErrNoHost)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secret == nil {
		return nil, fmt.Errorf("what is known of hosts is not read yet: %w", ErrUnknownHost)
	}
	id := f.id(host)
	h := f.hosts[id>>56][id]
	if h == nil {
		return nil, fmt.Errorf("%.100q: %w", named, ErrUnknownHost)
	}
	out := &Report{Hosts: 1, Identify: string(by), Clients: []ClientCount{{h.Client, 1}}, Tags: []TagReport{}}
	tags := map[string]*TagReport{}
	for _, p := range h.Pulls {
		if f.tags[p.Tag] != nil && (only == "" || p.Tag == only) {
			f.count(tags, h, p, true)
		}
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%.100q has got nothing by it: %w", named, ErrUnknownHost)
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		t := tags[name]
		t.finish()
		out.Tags = append(out.Tags, *t)
	}
	return out, nil
}
