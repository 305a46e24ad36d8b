package plan

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// file is an entry of a test tree with the given content.
func file(path, content string) tree.Entry {
	return sized(path, content, int64(len(content)))
}

// sized is a file whose content has the given length and is told apart by its name only.
func sized(path, content string, size int64) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.Regular, Mode: 0o644, Size: size, Digest: sha256.Sum256([]byte(content))}
}

func dir(path string) tree.Entry { return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755} }

func symlink(path, target string) tree.Entry {
	return tree.Entry{Path: path, Kind: tree.Symlink, Mode: 0o777, Target: target}
}

// linked makes the entries one hardlink group.
func linked(entries ...tree.Entry) []tree.Entry {
	first := entries[0].Path
	for _, e := range entries {
		first = min(first, e.Path)
	}
	for i := range entries {
		entries[i].Link = first
	}
	return entries
}

// build sorts entries into a tree and adds missing parents and the root.
func build(entries ...tree.Entry) *tree.Tree {
	have := map[string]bool{}
	for _, e := range entries {
		have[e.Path] = true
	}
	for _, e := range slices.Clone(entries) {
		for p := e.Path; p != "."; {
			p = tree.Parent(p)
			if !have[p] {
				have[p] = true
				entries = append(entries, dir(p))
			}
		}
	}
	if !have["."] {
		entries = append(entries, dir("."))
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return &tree.Tree{Entries: entries}
}

// owners makes a component of every top-level directory.
func owners(t *tree.Tree) *pkgdb.Owners {
	o := &pkgdb.Owners{Of: make([]int32, len(t.Entries))}
	ids := map[string]bool{"rest": true}
	top := func(p string) string {
		name, _, ok := strings.Cut(p, "/")
		if !ok {
			return "rest"
		}
		return "rpm/" + name
	}
	for _, e := range t.Entries {
		ids[top(e.Path)] = true
	}
	var sorted []string
	for id := range ids {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	for _, id := range sorted {
		k := pkgdb.Package
		switch id {
		case "rest":
			k = pkgdb.Rest
		case "rpm/volatile":
			k = pkgdb.Volatile
		}
		o.Components = append(o.Components, pkgdb.Component{ID: id, Kind: k})
	}
	for i, e := range t.Entries {
		n, _ := slices.BinarySearch(sorted, top(e.Path))
		o.Of[i] = int32(n)
	}
	return o
}

// served makes the image of a layout, as the layer writer would: new layers with all ancestors.
func served(t testing.TB, in Input, l *Layout) Image {
	t.Helper()
	img := Image{}
	all := sha256.New()
	for _, layer := range l.Layers {
		var p Prior
		if layer.Kept != "" {
			for _, img := range in.Lineage {
				if i := slices.IndexFunc(img.Layers, func(p Prior) bool { return p.Digest == layer.Kept }); i >= 0 {
					p = img.Layers[i]
				}
			}
		} else {
			p = written(in.Tree, layer)
		}
		img.Layers = append(img.Layers, p)
		fmt.Fprintln(all, p.Digest)
	}
	img.Digest = digest.NewDigest(digest.SHA256, all)
	return img
}

func written(t *tree.Tree, l Layer) Prior {
	held := map[int]bool{}
	parents := func(p string) {
		for p != "." {
			p = tree.Parent(p)
			if i, ok := t.Find(p); ok {
				held[i] = true
			}
		}
	}
	for _, i := range l.Entries {
		held[i] = true
		parents(t.Entries[i].Path)
	}
	for _, w := range l.Whiteouts {
		parents(w)
	}
	ix := &tree.Index{Whiteouts: l.Whiteouts}
	var size int64 = 32
	h := sha256.New()
	for i := range t.Entries {
		if held[i] {
			e := t.Entries[i]
			ix.Entries = append(ix.Entries, e)
			size += e.Size/2 + 50
			fmt.Fprintf(h, "%+v\n", e)
		}
	}
	fmt.Fprintln(h, l.Whiteouts)
	return Prior{Digest: digest.NewDigest(digest.SHA256, h), Size: size, Name: l.Name, Index: ix}
}

// mustMake plans and checks.
func mustMake(t testing.TB, in Input) *Layout {
	t.Helper()
	l, err := Make(in)
	if err != nil {
		t.Fatalf("Make: %v", err)
	}
	if err := Check(in, l); err != nil {
		t.Fatalf("Check: %v\n%+v", err, l)
	}
	return l
}

// series plans trees one after the other and returns the last input and layout.
func series(t testing.TB, lim Limits, trees ...*tree.Tree) (Input, *Layout) {
	t.Helper()
	var in Input
	var l *Layout
	var lineage []Image
	for _, tr := range trees {
		in = Input{Tree: tr, Owners: owners(tr), Lineage: lineage, Limits: lim}
		l = mustMake(t, in)
		lineage = append([]Image{served(t, in, l)}, lineage...)
	}
	return in, l
}
