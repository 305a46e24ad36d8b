package main

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// version is a synthetic image: a tree, its owners, and what the files really take compressed.
type version struct {
	tree   *tree.Tree
	owners *pkgdb.Owners
	now    int64
	packed []int64 // real compressed bytes by entry
}

// maker turns releases into trees.
type maker struct {
	c      *history.Corpus
	files  *history.Files
	serial int
}

func newMaker(c *history.Corpus) *maker { return &maker{c: c, files: history.NewFiles(c)} }

// Sizes of what is made on every build, compressed and installed.
const (
	initramfsBytes = 75 << 20
	rpmdbBytes     = 56 << 20
	rpmdbPacked    = 14 << 20
)

// entry is an entry on its way into a tree.
type entry struct {
	tree.Entry
	packed    int64
	component string
}

// make builds the next version of the series; releases must come in order.
func (m *maker) make(r history.Release) *version {
	m.serial++
	var entries []entry
	add := func(component, path string, d tree.Digest, size, packed int64, mode uint32) {
		e := tree.Entry{Path: path, Kind: tree.Regular, Mode: mode, Size: size, Digest: d}
		entries = append(entries, entry{e, packed, component})
	}
	kernel := r.Packages["kernel"]
	for pkg, evra := range r.Packages {
		component := "rpm/" + m.c.SourceOf(pkg)
		if history.IsKernel(pkg) {
			component = "kernel"
		}
		digests := m.files.Contents(pkg, evra)
		for i, f := range m.files.Of(pkg) {
			add(component, f.Path(kernel), digests[i], f.Size, f.Packed, f.Mode())
		}
	}
	add("initramfs", "usr/lib/modules/"+kernel+"/initramfs.img", history.Initramfs(r),
		initramfsBytes, initramfsBytes, 0o600)
	add("volatile/usr/lib/sysimage/rpm", "usr/lib/sysimage/rpm/rpmdb.sqlite",
		sha256.Sum256(fmt.Append(nil, m.serial, r.Date)),
		rpmdbBytes, rpmdbPacked, 0o644)
	return m.assemble(entries, r.Date.Unix())
}

func (m *maker) assemble(entries []entry, now int64) *version {
	dirs := map[string]bool{}
	for _, e := range entries {
		for p := tree.Parent(e.Path); !dirs[p]; p = tree.Parent(p) {
			dirs[p] = true
		}
	}
	for d := range dirs {
		entries = append(entries, entry{Entry: tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755}, component: "rest"})
	}
	slices.SortFunc(entries, func(a, b entry) int { return tree.ComparePaths(a.Path, b.Path) })
	v := &version{tree: &tree.Tree{}, owners: &pkgdb.Owners{}, now: now}
	ids := map[string]int32{}
	var names []string
	for _, e := range entries {
		if _, ok := ids[e.component]; !ok {
			ids[e.component] = 0
			names = append(names, e.component)
		}
	}
	sort.Strings(names)
	for i, n := range names {
		ids[n] = int32(i)
		v.owners.Components = append(v.owners.Components, m.component(n, now))
	}
	for _, e := range entries {
		v.tree.Entries = append(v.tree.Entries, e.Entry)
		v.packed = append(v.packed, e.packed)
		v.owners.Of = append(v.owners.Of, ids[e.component])
	}
	return v
}

// component describes a component as its package's changelog would at the given time.
func (m *maker) component(id string, now int64) pkgdb.Component {
	c := pkgdb.Component{ID: id}
	switch {
	case id == "kernel":
		c.Kind = pkgdb.Kernel
	case id == "initramfs":
		c.Kind = pkgdb.Initramfs
	case id == "rest":
		c.Kind = pkgdb.Rest
	case strings.HasPrefix(id, "volatile/"):
		c.Kind = pkgdb.Volatile
	default:
		c.Kind = pkgdb.Package
		updates := m.c.Updates[strings.TrimPrefix(id, "rpm/")]
		n := sort.Search(len(updates), func(i int) bool { return updates[i] > now })
		for i := n - 1; i >= 0 && len(c.Changes) < pkgdb.MaxChanges; i-- {
			c.Changes = append(c.Changes, updates[i])
		}
		if n > 0 {
			c.BuildTime = updates[n-1]
		}
	}
	return c
}

// fnvHash is the hash that the re-flattening policy spreads small components with.
func fnvHash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}
