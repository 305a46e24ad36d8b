// Package compare says what an update from one image to another costs a client and why, how the filesystems of two images
// differ, and what the engine would decide for an image.
package compare

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Comparison says what an update from one image to another costs a client.
type Comparison struct {
	// UpdateBytes are the compressed bytes of the new image's layers that the old one lacks.
	UpdateBytes int64 `json:"update_bytes"`
	// FloorBytes are the changed files in one compressed layer.
	FloorBytes int64 `json:"floor_bytes"`
	// Ratio is UpdateBytes / FloorBytes; 0 when nothing changed.
	Ratio         float64 `json:"ratio"`
	LayersToFetch int     `json:"layers_to_fetch"`
	LayersTotal   int     `json:"layers_total"`
	// FilesChanged and FilesRemoved count paths other than directories.
	FilesChanged int `json:"files_changed"`
	FilesRemoved int `json:"files_removed"`
	// OldFormat and NewFormat are those of the images' layers, where Strata made both, changed the format, and could keep no
	// layer for it; empty else.
	OldFormat string `json:"old_format,omitempty"`
	NewFormat string `json:"new_format,omitempty"`
	// Components are in descending order of their update bytes.
	Components []ComponentBytes `json:"components"`
	// Layers are those to fetch, lowest first.
	Layers []LayerBytes `json:"layers"`
	// NoiseKept are the files of the new image that stayed as they were served before, though its source's differ in build
	// noise, where the plan is known; KeepsNoise says that there are some.
	NoiseKept  []rechunk.KeptFile `json:"noise_kept,omitempty"`
	KeepsNoise bool               `json:"keeps_noise,omitempty"`
	// Dropped are the layers of the image that the plan of the new one built on and did not keep, where that plan is known.
	Dropped []rechunk.PlanDropped `json:"dropped,omitempty"`
	// Contents is what is new in it; nil where nobody asked.
	Contents *News `json:"contents,omitempty"`
	// Deltas is what the update costs a client that takes deltas; nil where nobody asked.
	Deltas *Deltas `json:"deltas,omitempty"`
}

// ComponentBytes is a component's part of an update.
type ComponentBytes struct {
	Component string `json:"component"`
	Version   string `json:"version,omitempty"`
	// UpdateBytes are its share of the layers to fetch, by uncompressed size.
	UpdateBytes int64 `json:"update_bytes"`
	// ChangedBytes are the uncompressed bytes of its files that are new or changed.
	ChangedBytes int64 `json:"changed_bytes"`
	FilesChanged int   `json:"files_changed"`
	// UnchangedBytes are its share of the update that the client has already, by uncompressed size: files that are in a
	// layer with changed ones.
	UnchangedBytes int64 `json:"unchanged_bytes"`
	FilesUnchanged int   `json:"files_unchanged"`
	// FloorBytes are its part of the floor, by what its changed files take in a compressed layer of their own. All parts
	// together are the floor, which is smaller than these layers are: in one layer, components help each other.
	FloorBytes int64 `json:"floor_bytes"`
	// Why says in words why it is sent.
	Why string `json:"why"`
	// Layers are those to fetch that hold any of it.
	Layers []digest.Digest `json:"layers"`
}

// Update works out the cost of an update; the floor is written in format f.
func Update(ctx context.Context, old, next *rechunk.Inspection, f layer.Format) (*Comparison, error) {
	out := &Comparison{
		LayersTotal: len(next.Layers), Components: []ComponentBytes{}, Layers: []LayerBytes{}, KeepsNoise: KeepsNoise(next),
	}
	changed, removed := changes(old.Tree, next.Tree)
	out.FilesRemoved = removedFiles(old.Tree, next.Tree)
	parts := map[string]*ComponentBytes{}
	for _, i := range changed {
		e := &next.Tree.Entries[i]
		if e.Kind == tree.Dir {
			continue
		}
		out.FilesChanged++
		p := part(parts, next.Owners, i)
		p.FilesChanged++
		p.ChangedBytes += e.Size
	}
	newSending(out, next, parts, changed).fetched(old)
	if a, b := formatOf(old), formatOf(next); a != b && a != "" && b != "" && out.LayersToFetch == out.LayersTotal {
		out.OldFormat, out.NewFormat = a, b
	}
	out.explain(parts)
	if len(changed)+len(removed) > 0 {
		var err error
		if out.FloorBytes, err = floor(ctx, next, changed, removed, f); err != nil {
			return nil, fmt.Errorf("measuring the floor: %w", err)
		}
		out.Ratio = float64(out.UpdateBytes) / float64(out.FloorBytes)
	}
	if err := out.shareFloor(ctx, next, changed, parts, f); err != nil {
		return nil, fmt.Errorf("measuring the floor of each component: %w", err)
	}
	for _, p := range parts {
		out.Components = append(out.Components, *p)
	}
	slices.SortFunc(out.Components, func(a, b ComponentBytes) int {
		return cmp.Or(cmp.Compare(b.UpdateBytes, a.UpdateBytes), cmp.Compare(b.ChangedBytes, a.ChangedBytes),
			cmp.Compare(a.Component, b.Component))
	})
	return out, nil
}

// formatOf names the format of an image that Strata made; "" for another image. One that has a layer of zstd:chunked is of
// that, whatever else it keeps.
func formatOf(i *rechunk.Inspection) string {
	layers := i.Image.Manifest.Layers
	if i.Image.Manifest.Annotations[image.AnnotationSource] == "" {
		return ""
	}
	switch {
	case ofObjects(i):
		return rechunk.FormOSTree
	case slices.ContainsFunc(layers, func(l ocispec.Descriptor) bool { return toc.Told(l.Annotations) }):
		return layer.Chunked.Spec().Name
	}
	for _, f := range layer.Formats() {
		if f.Spec().MediaType == layers[0].MediaType {
			return f.Spec().Name
		}
	}
	return ""
}

// removedFiles counts the paths other than directories that next does not have.
func removedFiles(old, next *tree.Tree) (n int) {
	for i := range old.Entries {
		if e := &old.Entries[i]; e.Kind != tree.Dir && next.Lookup(e.Path) == nil {
			n++
		}
	}
	return n
}

// floor is the size of one layer that holds what changed.
func floor(ctx context.Context, next *rechunk.Inspection, changed []int, removed []string, f layer.Format) (int64, error) {
	l, err := layer.NewList(next.Tree, changed, removed, next.Contents(ctx))
	if err != nil {
		return 0, err
	}
	blob, err := layer.Write(ctx, io.Discard, l, f)
	return blob.Size, err
}

// shareFloor shares the floor out among the components that changed, by what each takes alone. Names of one file are in one
// layer, that of the component of the first.
func (out *Comparison) shareFloor(ctx context.Context, next *rechunk.Inspection, changed []int,
	parts map[string]*ComponentBytes, f layer.Format) error {
	of, objects := map[string][]int{}, map[string]string{}
	for _, i := range changed {
		e := &next.Tree.Entries[i]
		if e.Kind == tree.Dir {
			continue
		}
		c, ok := objects[object(e)]
		if !ok {
			c = part(parts, next.Owners, i).Component
			objects[object(e)] = c
		}
		of[c] = append(of[c], i)
	}
	alone, all := map[string]int64{}, int64(0)
	for _, c := range slices.Sorted(maps.Keys(of)) {
		size, err := floor(ctx, next, of[c], nil, f)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		alone[c], all = size, all+size
	}
	for c, n := range alone {
		parts[c].FloorBytes = int64(float64(out.FloorBytes) * float64(n) / float64(all))
	}
	return nil
}

func part(parts map[string]*ComponentBytes, o *pkgdb.Owners, entry int) *ComponentBytes {
	c := &o.Components[o.Of[entry]]
	p := parts[c.ID]
	if p == nil {
		p = &ComponentBytes{Component: c.ID, Version: c.Version, Layers: []digest.Digest{}}
		parts[c.ID] = p
	}
	return p
}

// changes lists the entries of next that old does not have just so, hardlink groups whole, and the topmost paths that went.
func changes(old, next *tree.Tree) (changed []int, removed []string) {
	differs := regrouped(old, next)
	for i := range next.Entries {
		e := &next.Entries[i]
		if was := old.Lookup(e.Path); was == nil || !was.Same(e) {
			differs[object(e)] = true
		}
	}
	for i := range next.Entries {
		if differs[object(&next.Entries[i])] {
			changed = append(changed, i)
		}
	}
	for i := range old.Entries {
		p := old.Entries[i].Path
		if next.Lookup(p) != nil || len(removed) > 0 && tree.Within(p, removed[len(removed)-1]) {
			continue
		}
		if next.Lookup(tree.Parent(p)) != nil && next.Lookup(tree.Parent(p)).Kind == tree.Dir {
			removed = append(removed, p)
		}
	}
	return changed, removed
}

// object names what an entry's path leads to: a hardlink group, or the path itself.
func object(e *tree.Entry) string {
	if e.Link != "" {
		return e.Link
	}
	return e.Path
}

// regrouped finds the objects of next whose names were those of several objects in old, or of a part of one of which another
// object has the rest. A group that only lost names is what it was.
func regrouped(old, next *tree.Tree) map[string]bool {
	differs := map[string]bool{}
	before, after := map[string]string{}, map[string]string{} // object of next → of old, and back
	for i := range next.Entries {
		was := old.Lookup(next.Entries[i].Path)
		if was == nil {
			continue
		}
		now, then := object(&next.Entries[i]), object(was)
		if o, ok := before[now]; ok && o != then {
			differs[now] = true
		}
		if n, ok := after[then]; ok && n != now {
			differs[now] = true
		}
		before[now], after[then] = then, now
	}
	return differs
}

// weight is the number of bytes that an entry takes in a tar stream.
func weight(e *tree.Entry) int64 {
	const block = 512
	if e.Kind == tree.Dir || e.Link != "" && e.Link != e.Path {
		return block
	}
	return block + (e.Size+block-1)/block*block
}
