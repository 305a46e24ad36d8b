package catalog

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
)

// Bounds of what is known of hosts.
const (
	// MaxFleetPart is how many hosts one record of Fleet holds.
	MaxFleetPart = 256
	// MaxFleetPulls is of how many tags a host's version is known.
	MaxFleetPulls = 12
	// MaxFleetVersions is how many versions of a tag are told apart.
	MaxFleetVersions = 64
	// MaxFleetClient and MaxFleetLabel bound texts that clients and images bring, in bytes.
	MaxFleetClient = 64
	MaxFleetLabel  = 128
)

// Fleet is a part of the hosts that were seen, or the secret by which they are named.
type Fleet struct {
	Secret []byte      `json:"secret,omitempty"`
	Hosts  []FleetHost `json:"hosts,omitempty"`
}

// FleetHost is what is known of a host.
type FleetHost struct {
	ID     uint64      `json:"id,string"`
	Client string      `json:"client,omitempty"`
	Pulls  []FleetPull `json:"pulls"`
}

// FleetPull is what a host got under a tag, "host/path:tag". Times are seconds since 1970: when it first got that, and when
// it last asked.
type FleetPull struct {
	Tag    string        `json:"tag"`
	Digest digest.Digest `json:"digest"`
	Since  int64         `json:"since"`
	At     int64         `json:"at"`
}

// FleetTag has what hosts got under a tag, in the order in which it came to stand for them.
type FleetTag struct {
	Versions []FleetVersion `json:"versions"`
}

// FleetVersion is an image that hosts got under a tag.
type FleetVersion struct {
	Digest  digest.Digest `json:"digest"`
	Version string        `json:"version,omitempty"`
	Since   time.Time     `json:"since"`
	// Again is when the tag was last seen to have gone back to it; zero: it did not.
	Again time.Time `json:"again,omitzero"`
}

func (f *Fleet) check() error {
	if len(f.Hosts) > MaxFleetPart {
		return errors.New("it has too many hosts")
	}
	for i := range f.Hosts {
		h := &f.Hosts[i]
		if len(h.Pulls) > MaxFleetPulls || len(h.Client) > MaxFleetClient || i > 0 && f.Hosts[i-1].ID >= h.ID {
			return errors.New("a host makes no sense, or is not in its place")
		}
		for _, p := range h.Pulls {
			if _, ok := ParseTagKey(p.Tag); !ok || p.Digest.Validate() != nil {
				return errors.New("what a host got makes no sense")
			}
		}
	}
	return nil
}

func fleetKind() kind[string, Fleet] {
	return kind[string, Fleet]{name: "fleet", encode: asItIs, decode: anyKey, check: (*Fleet).check}
}

func fleetTagKind() kind[TagKey, FleetTag] {
	return kind[TagKey, FleetTag]{
		name: KindFleetTag, encode: TagKey.String, decode: ParseTagKey,
		check: func(t *FleetTag) error {
			if len(t.Versions) > MaxFleetVersions {
				return errors.New("it has too many versions")
			}
			for _, v := range t.Versions {
				if v.Digest.Validate() != nil || len(v.Version) > MaxFleetLabel {
					return errNoImage
				}
			}
			return nil
		},
	}
}
