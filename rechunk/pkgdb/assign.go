package pkgdb

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/tree"
)

// largeSize is the size in bytes from which on a file that nothing owns is a component of its own.
const largeSize = 1 << 20

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
	tree   *tree.Tree
	parts  *table
	claims *claims
	// kernels counts, for each kernel component, how many of its entries each package component claims.
	kernels map[int32]map[int32]int
}

// assign returns the component of every entry. All names of a hardlinked object get the strongest claim to any of them, the
// first name's among equals, because they cannot be told apart in a layer.
func (a *assigner) assign(ctx context.Context) ([]int32, error) {
	a.kernels = make(map[int32]map[int32]int)
	c := &custom{parts: a.parts, warn: a.claims.Warn, dirs: make(map[string]int32)}
	best := make([]candidate, len(a.tree.Entries))
	groups := make(map[string]int)
	for i := range a.tree.Entries {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("assign components: %w", ctx.Err())
		}
		e := &a.tree.Entries[i]
		best[i] = a.candidate(i, e, c)
		if e.Link == "" {
			continue
		}
		first, ok := groups[e.Link]
		if !ok {
			groups[e.Link] = i
		} else if best[i].rank < best[first].rank {
			best[first] = best[i]
		}
	}
	of := make([]int32, len(best))
	for i := range of {
		of[i] = best[i].component
		if link := a.tree.Entries[i].Link; link != "" {
			of[i] = best[groups[link]].component
		}
	}
	a.describeKernels()
	return of, nil
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
		if owner.component >= 0 {
			return candidate{owner.component, rankPackage}
		}
		return candidate{a.parts.get("rest", Rest), rankRest}
	}
	if name := churnOf(e.Path); name != "" {
		return candidate{a.volatile(name, e), rankChurn}
	}
	return a.owned(e, owner)
}

// owned finds the claim to a file that is not churn: its package's, then its generator's, then its own size.
func (a *assigner) owned(e *tree.Entry, owner claim) candidate {
	isGhost := owner.strength == ghost && e.Kind == tree.Regular
	if owner.component >= 0 && !isGhost {
		return candidate{owner.component, rankPackage}
	}
	if component, ok := a.claims.adopt(e); ok {
		return candidate{component, rankPackage}
	}
	if name := generatedOf(e.Path); name != "" {
		return candidate{a.volatile(name, e), rankGenerated}
	}
	if isGhost {
		return candidate{a.volatile(ghostName, e), rankGenerated}
	}
	if e.Kind == tree.Regular && e.Size >= largeSize {
		return candidate{a.parts.get("large/"+printable(e.Path), Large), rankLarge}
	}
	return candidate{a.parts.get("rest", Rest), rankRest}
}

// ghostName is the mechanism of files that packages own without shipping them.
const ghostName = "ghost"

// volatile returns the component of a mechanism. Those that gather files which have nothing to do with each other give big ones
// a component of their own.
func (a *assigner) volatile(name string, e *tree.Entry) int32 {
	if e.Size >= largeSize && (name == cachesName || name == ghostName) {
		name = printable(e.Path)
	}
	return a.parts.get("volatile/"+name, Volatile)
}

// kernel returns one of the kernel's components and notes which package would have owned the entry.
func (a *assigner) kernel(id string, owner claim) int32 {
	kind := Kernel
	if id == idInitramfs {
		kind = Initramfs
	}
	component := a.parts.get(id, kind)
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
			if top == nobody || n > owners[top] || n == owners[top] && a.parts.less(owner, top) {
				top = owner
			}
		}
		a.parts.inherit(component, top)
	}
}
