package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb"
)

// step is what one update did: the outcome for each entry of the tree and the state of each of its components.
type step struct {
	outcome []uint8
	before  []bool // by component: some of it was there and still is
	updated []bool // by component
	// last says that the step leads to the tree itself, whose components have known versions.
	last bool
}

// begin returns the history of a lineage that begins with the tree: nothing but versions.
func (m *model) begin() *History {
	h := &History{}
	n := len(m.in.Owners.Components)
	h.tracks = m.observeComponents(nil, &step{last: true, before: make([]bool, n), updated: make([]bool, n)})
	return h
}

// observe returns the history with one more step.
func (m *model) observe(h *History, s *step) *History {
	next := &History{steps: h.Steps() + 1}
	next.tracks = m.observeComponents(h, s)
	next.files = m.observeFiles(h, s)
	return next
}

// newStep says what an update did to components. The last one leads to the tree, and h is the history up to it.
func (m *model) newStep(h *History, outcome []uint8, last bool) *step {
	n := len(m.in.Owners.Components)
	s := &step{last: last, outcome: outcome, before: make([]bool, n), updated: make([]bool, n)}
	moved, stayed := make([]int64, n), make([]int64, n)
	for id, o := range outcome {
		c := m.in.Owners.Of[id]
		switch o {
		case kept:
			stayed[c] += m.weight[id]
			s.before[c] = true
		case changed:
			moved[c] += m.weight[id]
			s.before[c] = true
			s.updated[c] = true
		case appeared:
			s.updated[c] = true
		}
	}
	for c := range s.updated {
		if !last {
			break
		}
		// What changes a little of a package of the same version is no update of it: some file is volatile.
		now := m.in.Owners.Components[c].Version
		if t := h.track(m.in.Owners.Components[c].ID); now != "" && t.version == clip(now) && moved[c] < stayed[c] {
			s.updated[c] = false
		}
	}
	return s
}

func clip(version string) string { return version[:min(len(version), maxVersion)] }

// observeComponents returns the tracks after a step, those of absent components included as long as there is room.
func (m *model) observeComponents(h *History, s *step) []track {
	components := m.in.Owners.Components
	present := make(map[string]bool, len(components))
	var tracks []track
	for c := range components {
		id := components[c].ID
		if len(id) > maxTrackID || len(tracks) == maxTracks || present[id] {
			continue
		}
		present[id] = true
		t := h.track(id)
		if t.version = ""; s.last {
			t.version = clip(components[c].Version)
		}
		t.seen.push(s.before[c])
		t.changed.push(s.before[c] && s.updated[c])
		tracks = append(tracks, t)
	}
	if h != nil {
		for _, t := range h.tracks {
			t.seen.push(false)
			t.changed.push(false)
			if !present[t.id] && len(tracks) < maxTracks && t.seen != (bitset{}) {
				tracks = append(tracks, t)
			}
		}
	}
	slices.SortFunc(tracks, func(a, b track) int { return cmp.Compare(a.id, b.id) })
	return tracks
}

// observeFiles returns the counts after a step: of the tree's files, the largest first, as many as there is room for, and of
// absent ones.
func (m *model) observeFiles(h *History, s *step) []fileTrack {
	var old []fileTrack
	if h != nil {
		old = h.files
	}
	type sized struct {
		fileTrack
		weight int64
	}
	var all []sized
	here := make(map[uint64]struct{}, len(s.outcome))
	for id, o := range s.outcome {
		if !m.leaf[id] {
			continue
		}
		key := m.fileKey(int32(id))
		if _, twice := here[key]; twice {
			continue
		}
		here[key] = struct{}{}
		f := findFile(old, key)
		f.count(o, s.updated[m.in.Owners.Of[id]])
		if f.chances > 0 || f.alone > 0 {
			all = append(all, sized{f, m.weight[id]})
		}
	}
	for _, f := range old {
		if _, ok := here[f.key]; !ok {
			all = append(all, sized{f, -1})
		}
	}
	slices.SortFunc(all, func(a, b sized) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.key, b.key)) })
	all = all[:min(len(all), maxFileTracks)]
	files := make([]fileTrack, len(all))
	for i := range all {
		files[i] = all[i].fileTrack
	}
	slices.SortFunc(files, func(a, b fileTrack) int { return cmp.Compare(a.key, b.key) })
	return files
}

// fileKey names a path in a history.
func (m *model) fileKey(id int32) uint64 {
	if m.keys == nil {
		m.keys = make([]uint64, m.paths.tree)
		for i := range m.keys {
			sum := sha256.Sum256([]byte(m.paths.name[i]))
			m.keys[i] = binary.BigEndian.Uint64(sum[:])
		}
	}
	return m.keys[id]
}

func findFile(files []fileTrack, key uint64) fileTrack {
	i, ok := slices.BinarySearchFunc(files, key, func(f fileTrack, key uint64) int { return cmp.Compare(f.key, key) })
	if ok {
		return files[i]
	}
	return fileTrack{key: key}
}

// count adds what a step did to the file.
func (f *fileTrack) count(outcome uint8, updated bool) {
	switch {
	case outcome == changed && !updated:
		f.alone++
	case (outcome == kept || outcome == changed) && updated:
		f.chances++
		if outcome == changed {
			f.changes++
		}
	}
	if f.chances >= maxCount {
		f.chances, f.changes = f.chances/2, f.changes/2
	}
	if f.alone >= maxCount {
		f.alone /= 2
	}
}

// evidence is what a history says of the tree at hand.
type evidence struct {
	steps   []int32 // by component: updates of the image in which it was there before and after
	updates []int32 // by component: of these, the ones that changed it
	chances []int32 // by entry: updates of its component in which it was there before and after
	changes []int32 // by entry: of these, the ones that changed it
	alone   []int32 // by entry: changes without an update of its component
}

// evidence looks up the tree's components and files.
func (m *model) evidence(h *History) *evidence {
	n, components := m.paths.tree, m.in.Owners.Components
	e := &evidence{
		steps: make([]int32, len(components)), updates: make([]int32, len(components)),
		chances: make([]int32, n), changes: make([]int32, n), alone: make([]int32, n),
	}
	if h == nil {
		return e
	}
	for c := range components {
		t := h.track(components[c].ID)
		e.steps[c], e.updates[c] = int32(t.seen.count()), int32(t.changed.count())
	}
	for id := range n {
		if m.leaf[id] && components[m.in.Owners.Of[id]].Kind != pkgdb.Volatile {
			f := findFile(h.files, m.fileKey(id))
			e.chances[id], e.changes[id], e.alone[id] = int32(f.chances), int32(f.changes), int32(f.alone)
		}
	}
	return e
}
