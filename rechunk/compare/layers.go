package compare

import (
	"cmp"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/tree"
)

// LayerBytes is a layer that an update fetches.
type LayerBytes struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Name is what the image's history says of the layer; empty when it says nothing.
	Name string `json:"name"`
	// Reason says why the layer was written: what its plan says, or what its files show.
	Reason string `json:"reason"`
	// FilesChanged are new or changed, FilesUnchanged are sent though the client has them, FilesHidden are hidden by higher
	// layers.
	FilesChanged   int `json:"files_changed"`
	FilesUnchanged int `json:"files_unchanged"`
	FilesHidden    int `json:"files_hidden"`
	// UnchangedBytes is the share of Size, by uncompressed size, of what is unchanged or hidden.
	UnchangedBytes int64 `json:"unchanged_bytes"`
	// Because names the component with the most changed bytes, which the others in the layer are sent along with; empty when
	// nothing in the layer changed.
	Because string `json:"because"`
}

// sending works out what the layers to fetch hold.
type sending struct {
	out     *Comparison
	next    *rechunk.Inspection
	parts   map[string]*ComponentBytes
	changed []bool  // of next's entries
	top     []int32 // the highest layer that holds each of next's entries
}

func newSending(out *Comparison, next *rechunk.Inspection, parts map[string]*ComponentBytes, changed []int) *sending {
	s := &sending{out: out, next: next, parts: parts}
	s.changed = make([]bool, len(next.Tree.Entries))
	for _, i := range changed {
		s.changed[i] = true
	}
	s.top = make([]int32, len(next.Tree.Entries))
	for k, x := range next.Layers {
		tree.Common(next.Tree.Entries, x.Entries, func(_, _ *tree.Entry, i int) { s.top[i] = int32(k) })
	}
	return s
}

// fetched adds up the layers that a client on old must fetch, and shares them out among the components.
func (s *sending) fetched(old *rechunk.Inspection) {
	have := map[digest.Digest]bool{}
	for _, l := range old.Image.Manifest.Layers {
		have[l.Digest] = true
	}
	names := s.next.Image.LayerNames()
	for k, l := range s.next.Image.Manifest.Layers {
		if have[l.Digest] {
			continue
		}
		have[l.Digest] = true
		s.out.LayersToFetch++
		s.out.UpdateBytes += l.Size
		s.layer(k, l, names[k])
	}
}

// share is what a component has of a layer.
type share struct {
	sent, changed int64 // uncompressed
	unchanged     int   // files
}

// layer tells of one layer to fetch.
func (s *sending) layer(k int, d ocispec.Descriptor, name string) {
	out := LayerBytes{Digest: d.Digest, Size: d.Size, Name: name}
	entries, weight := s.next.Layers[k].Entries, weight
	if ofObjects(s.next) {
		weight = objectWeight(s.next.Layers[k])
	}
	var all, same int64
	for j := range entries {
		all += weight(&entries[j])
	}
	shares := map[string]*share{}
	tree.Common(s.next.Tree.Entries, entries, func(_, e *tree.Entry, i int) {
		if e.Kind == tree.Dir {
			return
		}
		p := part(s.parts, s.next.Owners, i)
		of := shares[p.Component]
		if of == nil {
			of = &share{}
			shares[p.Component] = of
		}
		of.sent += weight(e)
		switch {
		case int(s.top[i]) != k:
			out.FilesHidden++
			same += weight(e)
		case s.changed[i]:
			out.FilesChanged++
			of.changed += weight(e)
		default:
			out.FilesUnchanged++
			of.unchanged++
			same += weight(e)
		}
	})
	scaled := func(n int64) int64 { return int64(float64(d.Size) * float64(n) / float64(max(all, 1))) }
	out.UnchangedBytes = scaled(same)
	out.Because = most(shares)
	out.Reason = out.inferred()
	for c, of := range shares {
		p := s.parts[c]
		p.UpdateBytes += scaled(of.sent)
		p.UnchangedBytes += scaled(of.sent - of.changed)
		p.FilesUnchanged += of.unchanged
		p.Layers = append(p.Layers, d.Digest)
	}
	s.out.Layers = append(s.out.Layers, out)
}

// most is the component with the most changed bytes, the first by name of several; empty when nothing changed.
func most(shares map[string]*share) string {
	best := ""
	for c, of := range shares {
		if of.changed > 0 && (best == "" ||
			cmp.Or(cmp.Compare(of.changed, shares[best].changed), strings.Compare(best, c)) > 0) {
			best = c
		}
	}
	return best
}
