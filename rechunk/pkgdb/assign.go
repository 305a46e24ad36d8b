package pkgdb

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/tree"
)

// largeSize is the size in bytes from which on a file that nothing owns is a component of its own.
const largeSize = 1 << 20

// restID is the component of everything that belongs to no other.
const restID = "rest"

// rank orders the claims to an entry; the lowest wins. It is finer than Kind.
type rank uint8

const (
	rankCustom rank = iota
	rankKernel
	rankChurn
	rankPackage
	rankGenerated
	rankLarge
	rankRest
)

// candidate is the component that an entry would have if it were alone.
type candidate struct {
	component int32
	rank      rank
}

// assigner brings the claims together.
type assigner struct {
	tree       *tree.Tree
	components *components
	claims     *claims
	// besides are claims to what no package owns, of what came without a package manager.
	besides *claims
	// kernels counts, for each kernel component, how many of its entries each package component claims.
	kernels map[int32]map[int32]int
}

// assign returns the component of every entry. All names of a hardlinked object get the strongest claim to any of them, the
// first name's among equals, because they cannot be told apart in a layer.
func (a *assigner) assign(ctx context.Context) ([]int32, error) {
	a.kernels = make(map[int32]map[int32]int)
	of := make([]int32, len(a.tree.Entries))
	ranks := make([]rank, len(of)) // of the strongest claim to each object, at its first name
	above := dirFinder{tree: a.tree}
	warn := func(line string) { a.claims.wrong.add(attributes, line) }
	c := &custom{components: a.components, warn: warn, inherited: func(dir string) (int32, bool) {
		i, ok := above.find(dir)
		return of[i], ok && ranks[i] == rankCustom
	}}
	for i := range a.tree.Entries {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("assign components: %w", ctx.Err())
		}
		e := &a.tree.Entries[i]
		best := a.candidate(i, e, c)
		first := a.first(i, e)
		if first == i || best.rank < ranks[first] {
			of[first], ranks[first] = best.component, best.rank
		}
	}
	for i := range of {
		of[i] = of[a.first(i, &a.tree.Entries[i])]
	}
	a.describeKernels()
	return of, nil
}

// first returns the position of an object's first name. It is found anew each time, since a tree may have millions of links.
func (a *assigner) first(i int, e *tree.Entry) int {
	if e.Link == "" || e.Link == e.Path {
		return i
	}
	if first, ok := a.tree.Find(e.Link); ok {
		return first
	}
	return i
}

// dirFinder finds directories in the tree; neighbours in the tree mostly have the same one.
type dirFinder struct {
	tree *tree.Tree
	last int
}

func (f *dirFinder) find(dir string) (int, bool) {
	if f.tree.Entries[f.last].Path == dir {
		return f.last, true
	}
	i, ok := f.tree.Find(dir)
	if !ok {
		return 0, false
	}
	f.last = i
	return i, true
}

// candidate finds the strongest claim to an entry.
func (a *assigner) candidate(i int, e *tree.Entry, c *custom) candidate {
	if component, ok := c.component(e); ok {
		return candidate{component, rankCustom}
	}
	owner := a.claims.of[i]
	if id := kernelOf(e.Path); id != "" {
		return candidate{a.kernel(id, owner), rankKernel}
	}
	if e.Kind == tree.Dir {
		if owner.component == nobody {
			owner = a.besides.of[i]
		}
		if owner.component >= 0 {
			return candidate{owner.component, rankPackage}
		}
		return candidate{a.components.get(restID, Rest), rankRest}
	}
	if name := churnOf(e.Path); name != "" {
		return candidate{a.volatile(name, e), rankChurn}
	}
	return a.owned(i, e, owner)
}

// owned finds the claim to a file that is not churn: its package's, then that of what came without a package manager, then
// its generator's, then its own size.
func (a *assigner) owned(i int, e *tree.Entry, owner claim) candidate {
	isGhost := owner.strength == ghost && e.Kind == tree.Regular
	if owner.component >= 0 && !isGhost {
		return candidate{owner.component, rankPackage}
	}
	if component, ok := a.claims.adopt(e); ok {
		return candidate{component, rankPackage}
	}
	if other := a.besides.of[i]; other.component >= 0 && other.strength != ghost && !isGhost {
		return candidate{other.component, rankPackage}
	}
	if name := generatedOf(e.Path); name != "" {
		return candidate{a.volatile(name, e), rankGenerated}
	}
	if isGhost {
		return candidate{a.volatile(ghostName, e), rankGenerated}
	}
	if e.Kind == tree.Regular && e.Size >= largeSize {
		return candidate{a.components.get("large/"+printable(e.Path), Large), rankLarge}
	}
	return candidate{a.components.get(restID, Rest), rankRest}
}

// ghostName is the mechanism of files that packages own without shipping them.
const ghostName = "ghost"

// volatile returns the component of a mechanism. Those that gather files which have nothing to do with each other give big
// ones a component of their own.
func (a *assigner) volatile(name string, e *tree.Entry) int32 {
	if e.Size >= largeSize && (name == cachesName || name == ghostName) {
		name = printable(e.Path)
	}
	return a.components.get("volatile/"+name, Volatile)
}

// kernel returns one of the kernel's components and notes which package would have owned the entry.
func (a *assigner) kernel(id string, owner claim) int32 {
	kind := Kernel
	if id == idInitramfs {
		kind = Initramfs
	}
	component := a.components.get(id, kind)
	if owner.component >= 0 && kind == Kernel {
		if a.kernels[component] == nil {
			a.kernels[component] = make(map[int32]int)
		}
		a.kernels[component][owner.component]++
	}
	return component
}

// describeKernels gives each kernel component the version and history of the package that owns most of it, the first by ID
// among equals.
func (a *assigner) describeKernels() {
	for component, owners := range a.kernels {
		top := int32(nobody)
		for owner, n := range owners {
			if top == nobody || n > owners[top] || n == owners[top] && a.components.less(owner, top) {
				top = owner
			}
		}
		a.components.inherit(component, top)
	}
}
