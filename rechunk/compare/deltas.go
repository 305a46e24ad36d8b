package compare

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Deltas says what an update costs a client that takes deltas.
type Deltas struct {
	// From and To are the manifests of the two images.
	From digest.Digest `json:"from"`
	To   digest.Digest `json:"to"`
	// Format is "strata", "tar-diff-1" or "tar-diff-2".
	Format string `json:"format"`
	// LayerBytes are the compressed bytes of the layers that are new, LayersNew their number.
	LayerBytes  int64 `json:"layer_bytes"`
	LayersNew   int   `json:"layers_new"`
	LayersTotal int   `json:"layers_total"`
	// DeltaBytes are those of the deltas, or of the layers where these are less.
	DeltaBytes int64 `json:"delta_bytes"`
	// FloorBytes are the changed files in one compressed layer: what no scheme of layers can beat. 0 when not measured.
	FloorBytes int64 `json:"floor_bytes,omitempty"`
	// Ratio is DeltaBytes / LayerBytes; 0 when nothing is new.
	Ratio float64 `json:"ratio"`
	// Estimated says that no delta was made: DeltaBytes are what deltas of the kind took of other layers.
	Estimated bool `json:"estimated,omitempty"`
	// Seconds is the time that making them took, EncoderSeconds what a core takes to wrap again what was compressed inside.
	Seconds        float64 `json:"seconds"`
	EncoderSeconds float64 `json:"encoder_seconds"`
	// Layers are the new ones, lowest first.
	Layers []DeltaLayer `json:"layers"`
	// Components are in descending order of their bytes by layers. Their bytes add up to LayerBytes and DeltaBytes: what is
	// no file's is that of the component Framing.
	Components []DeltaComponent `json:"components"`
}

// Framing stands among components for what is no file's: headers, directories, links, removals, and what holds layers and
// deltas together. It has no files.
const Framing = "framing"

// DeltaLayer is a new layer and its delta.
type DeltaLayer struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// DeltaBytes are Size where the layer is sent as it is.
	DeltaBytes int64 `json:"delta_bytes"`
	// Whole says that it is.
	Whole bool `json:"whole,omitempty"`
	// Exact says that its blob can be made again byte for byte, and not only its tar stream.
	Exact bool `json:"exact"`
}

// DeltaComponent is a component's part of an update.
type DeltaComponent struct {
	Component string `json:"component"`
	Version   string `json:"version,omitempty"`
	// LayerBytes and DeltaBytes are its shares: of a layer by uncompressed size, of a delta by what its files took there.
	LayerBytes int64 `json:"layer_bytes"`
	DeltaBytes int64 `json:"delta_bytes"`
	// Files are those in new layers: Same are there already, Patched and Wrapped are patches, of the bytes as they are and
	// of what is compressed inside, Whole are new.
	Files   int `json:"files"`
	Same    int `json:"same"`
	Patched int `json:"patched"`
	Wrapped int `json:"wrapped"`
	Whole   int `json:"whole"`
	// EncoderSeconds are what a core takes to wrap its files again.
	EncoderSeconds float64 `json:"encoder_seconds,omitempty"`
	// Why tells what stood in the way of less, by descending bytes, at most five.
	Why []DeltaReason `json:"why,omitempty"`
}

// Unchanged reports whether a client has all of its files: it is sent along with what changed. Of deltas that were not made
// nobody knows.
func (c *DeltaComponent) Unchanged() bool { return c.Files > 0 && c.Same == c.Files }

// DeltaReason is why files are not sent as less.
type DeltaReason struct {
	Why   string `json:"why"`
	Files int    `json:"files"`
	// Bytes are what these files take in the deltas.
	Bytes int64 `json:"bytes"`
}

// mostReasons bounds what is told of one component.
const mostReasons = 5

// DeltaTally adds up what deltas cost. It is for one goroutine.
type DeltaTally struct {
	out   *Deltas
	next  *rechunk.Inspection
	parts map[string]*DeltaComponent
	why   map[string]map[string]*DeltaReason
	names map[string]string // of objects, in an image of ostree's form
}

// NewDeltaTally begins with no layer.
func NewDeltaTally(old, next *rechunk.Inspection, format string) *DeltaTally {
	names := map[string]string{}
	if ofObjects(next) {
		for _, x := range next.Layers {
			maps.Copy(names, objectNames(x))
		}
	}
	return &DeltaTally{next: next, parts: map[string]*DeltaComponent{}, why: map[string]map[string]*DeltaReason{},
		names: names,
		out: &Deltas{From: old.Image.Digest, To: next.Image.Digest, Format: format, LayersTotal: len(next.Layers),
			Layers: []DeltaLayer{}, Components: []DeltaComponent{}}}
}

// Add adds a layer and what its delta's report says of its files. The report of a layer that is sent as it is tells of the
// delta that was tried.
func (t *DeltaTally) Add(l DeltaLayer, r delta.Report) {
	t.out.Layers = append(t.out.Layers, l)
	t.out.LayersNew++
	t.out.LayerBytes += l.Size
	t.out.DeltaBytes += l.DeltaBytes
	if !l.Whole {
		t.out.EncoderSeconds += r.Seconds
	}
	tar := max(r.TarSize, 1)
	for i := range r.Items {
		item := &r.Items[i]
		p := t.part(item.Path)
		p.Files++
		p.LayerBytes += int64(float64(l.Size) * float64(item.Size) / float64(tar))
		bytes := item.Bytes
		if l.Whole {
			bytes = int64(float64(l.Size) * float64(item.Size) / float64(tar))
		} else {
			p.EncoderSeconds += item.Seconds
		}
		p.DeltaBytes += bytes
		switch item.How {
		case delta.Same:
			p.Same++
		case delta.Patch:
			p.Patched++
		case delta.Wrapped:
			p.Wrapped++
		case delta.Whole:
			p.Whole++
		}
		t.reason(p.Component, item.Why, bytes)
	}
}

func (t *DeltaTally) reason(component, why string, bytes int64) {
	if why == "" {
		return
	}
	if t.why[component] == nil {
		t.why[component] = map[string]*DeltaReason{}
	}
	r := t.why[component][why]
	if r == nil {
		r = &DeltaReason{Why: why}
		t.why[component][why] = r
	}
	r.Files++
	r.Bytes += bytes
}

// AddEstimated adds a layer whose delta, if there is one, nobody looked into: its bytes are shared out by size.
func (t *DeltaTally) AddEstimated(l DeltaLayer, x *tree.Index) {
	r := delta.Report{Size: l.DeltaBytes, TarSize: x.TarSize, BlobSize: l.Size}
	for i := range x.Entries {
		if e := &x.Entries[i]; e.Kind == tree.Regular && (e.Link == "" || e.Link == e.Path) {
			r.Items = append(r.Items, delta.Item{Path: e.Path, Size: e.Size,
				Bytes: int64(float64(l.DeltaBytes) * float64(e.Size) / float64(max(x.TarSize, 1)))})
		}
	}
	t.Add(l, r)
}

// part is the component that a path of the new image belongs to.
func (t *DeltaTally) part(path string) *DeltaComponent {
	id, version := "", ""
	if name := t.names[path]; name != "" {
		path = name
	}
	entries := t.next.Tree.Entries
	i := sort.Search(len(entries), func(i int) bool { return tree.ComparePaths(entries[i].Path, path) >= 0 })
	if i < len(entries) && entries[i].Path == path {
		c := &t.next.Owners.Components[t.next.Owners.Of[i]]
		id, version = c.ID, c.Version
	}
	p := t.parts[id]
	if p == nil {
		p = &DeltaComponent{Component: id, Version: version}
		t.parts[id] = p
	}
	return p
}

// frame adds what is no component's.
func (t *DeltaTally) frame() {
	rest := DeltaComponent{Component: Framing, LayerBytes: t.out.LayerBytes, DeltaBytes: t.out.DeltaBytes}
	for _, p := range t.parts {
		rest.LayerBytes -= p.LayerBytes
		rest.DeltaBytes -= p.DeltaBytes
	}
	if rest.LayerBytes != 0 || rest.DeltaBytes != 0 {
		t.parts[Framing] = &rest
	}
}

// Sum gives what was added. The tally is used up.
func (t *DeltaTally) Sum() *Deltas {
	if t.out.LayerBytes > 0 {
		t.out.Ratio = float64(t.out.DeltaBytes) / float64(t.out.LayerBytes)
	}
	t.frame()
	for id, p := range t.parts {
		for _, r := range t.why[id] {
			p.Why = append(p.Why, *r)
		}
		slices.SortFunc(p.Why, func(a, b DeltaReason) int {
			return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Why, b.Why))
		})
		p.Why = p.Why[:min(len(p.Why), mostReasons)]
		t.out.Components = append(t.out.Components, *p)
	}
	slices.SortFunc(t.out.Components, func(a, b DeltaComponent) int {
		return cmp.Or(cmp.Compare(b.LayerBytes, a.LayerBytes), cmp.Compare(a.Component, b.Component))
	})
	return t.out
}
