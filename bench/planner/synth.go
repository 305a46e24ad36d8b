package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strings"

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

// maker turns releases into trees. The files of a package are the same in each of its versions, but for their content: on an
// update programs change, data with probability 0.3, documentation with 0.1.
type maker struct {
	c      *corpus
	files  map[string][]synthFile // by package
	state  map[string]*pkgState
	serial int
}

// synthFile is a file of a package.
type synthFile struct {
	path   string
	kind   byte // p(rogram), d(ata), t(ext of documentation), k(ernel)
	size   int64
	packed int64
}

// pkgState is the content of a package's files at its present version.
type pkgState struct {
	version string
	digests []tree.Digest
}

func newMaker(c *corpus) *maker {
	return &maker{c: c, files: map[string][]synthFile{}, state: map[string]*pkgState{}}
}

// fraction is a number in 0..1 that depends on its arguments alone.
func fraction(parts ...any) float64 {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

func isKernel(pkg string) bool { return pkg == "kernel" || strings.HasPrefix(pkg, "kernel-") }

// filesOf invents the files of a package: about one per 40 KB, sizes spread over two orders of magnitude.
func (m *maker) filesOf(pkg string) []synthFile {
	if f, ok := m.files[pkg]; ok {
		return f
	}
	total := m.c.sizeOf(pkg)
	n := int(min(max(total/(40<<10), 3), 400))
	files := make([]synthFile, n)
	weights, sum := make([]float64, n), 0.0
	for i := range files {
		f := &files[i]
		u := fraction(pkg, "kind", i)
		weights[i] = 0.01 + fraction(pkg, "size", i)*fraction(pkg, "size2", i)
		ratio := 0.0
		switch {
		case isKernel(pkg):
			f.kind, f.path, ratio = 'k', fmt.Sprintf("m%03d.ko.xz", i), 1
		case i == 0 || u < 0.35:
			f.kind, f.path, ratio = 'p', fmt.Sprintf("usr/lib64/%s/p%03d.so", pkg, i), 0.38
			weights[i] *= 3
		case u < 0.75:
			f.kind, f.path, ratio = 'd', fmt.Sprintf("usr/share/%s/d%03d.dat", pkg, i), 0.35
		default:
			f.kind, f.path, ratio = 't', fmt.Sprintf("usr/share/doc/%s/t%03d", pkg, i), 0.35
		}
		if f.kind != 'k' {
			ratio *= 0.6 + 0.8*fraction(pkg, "ratio", i)
		}
		f.packed = int64(ratio * 1024)
		sum += weights[i]
	}
	for i := range files {
		files[i].size = int64(weights[i] / sum * float64(total))
		files[i].packed = 100 + files[i].size*files[i].packed/1024
	}
	m.files[pkg] = files
	return files
}

// chance is the probability that a file of a kind changes when its package does.
func chance(kind byte) float64 {
	switch kind {
	case 'd':
		return 0.3
	case 't':
		return 0.1
	}
	return 1
}

func (m *maker) update(pkg, evra string) *pkgState {
	s := m.state[pkg]
	if s != nil && s.version == evra {
		return s
	}
	files := m.filesOf(pkg)
	next := &pkgState{version: evra, digests: make([]tree.Digest, len(files))}
	for i := range files {
		if s != nil && fraction(pkg, evra, i) >= chance(files[i].kind) {
			next.digests[i] = s.digests[i]
			continue
		}
		next.digests[i] = sha256.Sum256(fmt.Append(nil, pkg, evra, i))
	}
	m.state[pkg] = next
	return next
}

// Sizes of what is made on every build, compressed and installed.
const (
	initramfsBytes = 75 << 20
	rpmdbBytes     = 56 << 20
	rpmdbPacked    = 14 << 20
)

// initramfsParts are the packages whose update changes the initramfs.
var initramfsParts = []string{"kernel", "kernel-core", "systemd", "dracut", "ignition", "glibc"}

// entry is an entry on its way into a tree.
type entry struct {
	tree.Entry
	packed    int64
	component string
}

// make builds the next version of the series; releases must come in order.
func (m *maker) make(r release) *version {
	m.serial++
	var entries []entry
	add := func(component, path string, d tree.Digest, size, packed int64, mode uint32) {
		e := tree.Entry{Path: path, Kind: tree.Regular, Mode: mode, Size: size, Digest: d}
		entries = append(entries, entry{e, packed, component})
	}
	kernel := r.packages["kernel"]
	for pkg, evra := range r.packages {
		s := m.update(pkg, evra)
		component := "rpm/" + m.c.sourceOf(pkg)
		for i, f := range m.filesOf(pkg) {
			path, mode := f.path, uint32(0o644)
			switch f.kind {
			case 'k':
				component = "kernel"
				path = fmt.Sprintf("usr/lib/modules/%s/%s/%s", kernel, pkg, f.path)
			case 'p':
				mode = 0o755
			}
			add(component, path, s.digests[i], f.size, f.packed, mode)
		}
	}
	var parts []string
	for _, p := range initramfsParts {
		parts = append(parts, r.packages[p])
	}
	add("initramfs", "usr/lib/modules/"+kernel+"/initramfs.img", sha256.Sum256([]byte(strings.Join(parts, " "))),
		initramfsBytes, initramfsBytes, 0o600)
	add("volatile/usr/lib/sysimage/rpm", "usr/lib/sysimage/rpm/rpmdb.sqlite", sha256.Sum256(fmt.Append(nil, m.serial, r.date)),
		rpmdbBytes, rpmdbPacked, 0o644)
	return m.assemble(entries, r.date.Unix())
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
		updates := m.c.updates[strings.TrimPrefix(id, "rpm/")]
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
