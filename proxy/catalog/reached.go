package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MaxReached is how many hosts one record of Reached holds.
const MaxReached = 4096

// ReachedKey names a part of the hosts that a version of a tag reached. It is written "host/path:tag source part", the part
// as two hex digits.
type ReachedKey struct {
	Tag    TagKey
	Source digest.Digest
	Part   uint8
}

// ReachedParts are in how many records the hosts of a version lie.
const ReachedParts = 64

// ReachedBy returns the key of the record in which a host is noted.
func ReachedBy(tag TagKey, source digest.Digest, host uint64) ReachedKey {
	return ReachedKey{tag, source, uint8(host >> 58)}
}

// String returns the key as it is stored.
func (k ReachedKey) String() string {
	return fmt.Sprintf("%s %s %02x", k.Tag, k.Source, k.Part)
}

func parseReachedKey(s string) (k ReachedKey, ok bool) {
	tag, rest, _ := strings.Cut(s, " ")
	source, part, _ := strings.Cut(rest, " ")
	k.Source = digest.Digest(source)
	if k.Tag, ok = ParseTagKey(tag); !ok || k.Source.Validate() != nil {
		return k, false
	}
	n, err := fmt.Sscanf(part, "%02x", &k.Part)
	return k, n == 1 && err == nil && k.Part < ReachedParts && k.String() == s
}

// ReachedOf lists the hosts that versions of a tag reached.
func ReachedOf(tag TagKey) Prefix[ReachedKey] { return Prefix[ReachedKey]{tag.String() + " "} }

// Reached are hosts that a version of a tag reached before it reached all.
type Reached struct {
	// Hosts are their IDs, of 8 bytes each, ascending.
	Hosts []byte `json:"hosts"`
}

const idSize = 8

func (r *Reached) at(i int) uint64 { return binary.BigEndian.Uint64(r.Hosts[i*idSize:]) }

// find returns where a host is or would be.
func (r *Reached) find(host uint64) (i int, found bool) {
	low, high := 0, len(r.Hosts)/idSize
	for low < high {
		mid := (low + high) / 2
		if r.at(mid) < host {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(r.Hosts)/idSize && r.at(low) == host
}

// Has reports whether a host is among them.
func (r *Reached) Has(host uint64) bool {
	_, found := r.find(host)
	return found
}

// Add puts a host among them, unless there is no room for it. It reports whether the host is among them then.
func (r *Reached) Add(host uint64) bool {
	i, found := r.find(host)
	if found || len(r.Hosts) >= MaxReached*idSize {
		return found
	}
	id := binary.BigEndian.AppendUint64(nil, host)
	r.Hosts = slices.Concat(r.Hosts[:i*idSize], id, r.Hosts[i*idSize:])
	return true
}

func (r *Reached) check() error {
	n := len(r.Hosts) / idSize
	if len(r.Hosts)%idSize != 0 || n > MaxReached {
		return errors.New("it holds too many hosts, or a part of one")
	}
	for i := 1; i < n; i++ {
		if r.at(i-1) >= r.at(i) {
			return errors.New("its hosts are not in order")
		}
	}
	return nil
}

// What is left of a roll-out goes with its source.
func reachedKind() kind[ReachedKey, Reached] {
	return kind[ReachedKey, Reached]{
		name: KindReached, encode: ReachedKey.String, decode: parseReachedKey, check: (*Reached).check,
		leads: func(k ReachedKey, _ *Reached) Leads { return Leads{Owner: Owner{Source: k.Source}} },
	}
}
