package plan

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"
)

// History is what was observed of a lineage, version by version: which components changed, and which of their files. Make
// reads it from Input.History and gives the next one in Layout.History. It is bounded: MaxSteps versions, some thousands of
// components, some ten thousands of files. It is immutable and safe for concurrent use; nil is one that knows nothing.
type History struct {
	steps  int         // observed so far, also those that are forgotten
	tracks []track     // ascending by id
	files  []fileTrack // ascending by key
}

// ErrHistory says that a history cannot be read: it is damaged or exceeds a limit.
var ErrHistory = errors.New("plan: bad history")

// Limits of a history. At its largest it takes less than 8 MiB as a document.
const (
	// MaxSteps is the number of versions that a history remembers of each component.
	MaxSteps = 512
	// maxTracks and maxFileTracks bound what is remembered: what the newest tree holds comes first, then the largest files.
	maxTracks     = 6000
	maxFileTracks = 48 << 10
	maxTrackID    = 512
	maxVersion    = 128
	// maxCount is the count at which a file's counts are halved, so that what was long ago counts for less.
	maxCount = 64

	historyFormat  = 1
	maxHistoryJSON = 8 << 20
	fileTrackBytes = 14
)

// track is what was observed of a component. Bit 0 of the bit sets is the newest step.
type track struct {
	id      string
	version string // when last seen
	seen    bitset // it was there before and after the step
	changed bitset // and the step changed it
}

// bitset holds one bit for each of the last MaxSteps steps.
type bitset [MaxSteps / 64]uint64

// push moves all bits by one step and sets the newest.
func (b *bitset) push(newest bool) {
	var carry uint64
	if newest {
		carry = 1
	}
	for i, w := range b {
		b[i] = w<<1 | carry
		carry = w >> 63
	}
}

func (b *bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// fileTrack is what was observed of a file.
type fileTrack struct {
	key     uint64 // of its path
	chances uint16 // updates of its component in which it was there before and after
	changes uint16 // of these, the ones that changed it
	alone   uint16 // changes without an update of its component
}

// Steps returns the number of versions observed.
func (h *History) Steps() int {
	if h == nil {
		return 0
	}
	return h.steps
}

// Equal reports whether two histories are the same.
func (h *History) Equal(o *History) bool {
	if h == nil || o == nil {
		return h == o
	}
	return h.steps == o.steps && slices.Equal(h.tracks, o.tracks) && slices.Equal(h.files, o.files)
}

// track returns what is known of a component, or a zero track.
func (h *History) track(id string) track {
	if h != nil {
		if i, ok := slices.BinarySearchFunc(h.tracks, id,
			func(t track, id string) int { return cmp.Compare(t.id, id) }); ok {
			return h.tracks[i]
		}
	}
	return track{id: id}
}
