// Package plan decides which layers a served image has: from a tree, who owns its entries and the images served before to a
// Layout.
//
// It is pure: no I/O, no clock, no randomness, no dependence on map order or on the number of cores. The same input gives
// the same layout on every machine.
package plan

import (
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Input is everything a plan depends on.
type Input struct {
	// Tree is the filesystem to serve. Entries that equal one in the lineage already carry the modification time that was
	// first served.
	Tree   *tree.Tree
	Owners *pkgdb.Owners
	// Lineage are images served before, newest first. It is empty for a first version.
	Lineage []Image
	// Series names the images that clients of this one come from: those of the lineage with the same Series. Others are
	// variants.
	Series string
	Limits Limits
	// Timed are the paths of entries whose modification time is part of their identity, also where Limits.ExactTime does not
	// say so of all: another file's content quotes it.
	Timed map[string]bool
	// History is what was observed of the lineage up to its newest image: Layout.History of the version before. Without one,
	// the lineage's images are compared with each other instead.
	History *History
	// Demand is what clients ask for; the zero value is DefaultDemand.
	Demand Demand
}

// Limits bound a layout.
type Limits struct {
	// MaxLayers is the number of layers that a layout may have; at least 1.
	MaxLayers int
	// MaxStale is the share of stale bytes in all bytes of an image, 0 to 1.
	MaxStale float64
	// ExactTime makes modification times part of an entry's identity (mtime: preserve).
	ExactTime bool
	// LayerCost is what a layer costs a host in each update besides its bytes, kept or not: as many bytes as the host could
	// have downloaded in the time that the import of the layer takes. A layer that saves less is not made, and small ones
	// are written again as one. With 0 a layer costs little more than a request.
	LayerCost int64
}

// Image is an image of the lineage: its layers, lowest first.
type Image struct {
	Digest digest.Digest
	// Series tells the variants of a family apart; may be empty.
	Series string
	Layers []Prior
}

// Prior is a layer of an image served before.
type Prior struct {
	// Digest is that of the compressed blob.
	Digest digest.Digest
	// Size is the blob's length in bytes.
	Size int64
	// Name is what Layer.Name was when the layer was made.
	Name  string
	Index *tree.Index
}

// Layout is the decision: the layers of the served image, lowest first.
type Layout struct {
	Layers []Layer
	// Base is the position in Lineage of the image that the layout builds on, or -1.
	Base int
	// StaleBytes are the estimated compressed bytes in kept layers that higher layers hide.
	StaleBytes int64
	// Dropped are the layers of the base that are not kept, lowest first.
	Dropped []Dropped
	// History is Input.History with what this version shows, for the next one.
	History *History
	// Notes say what was decided and why, one line each, for people.
	Notes []string
}

// Layer is either kept from an earlier image, byte for byte, or new.
type Layer struct {
	// Kept is the digest of the kept blob; empty for a new layer.
	Kept digest.Digest
	// Name says in a few words what the layer holds ("glibc", "kernel", "17 packages, cold"). It goes into the image's
	// history.
	Name string
	// Entries are the positions in Tree.Entries of what a new layer holds, ascending. Ancestor directories are
	// implied and need not be listed. The members of a hardlink group are all in one layer.
	Entries []int
	// Whiteouts are the paths that a new layer hides in lower kept layers, ascending.
	Whiteouts []string
	// Reason says why the layer is new ("first version", "changed", "compaction", …).
	Reason string

	// Bytes are a kept layer's size and a new one's estimate, compressed. StaleBytes are what of them is hidden by higher
	// layers: 0 in a new one. MovedBytes are what of a new layer was live in the base, and is written again only because its
	// layer there was dropped.
	Bytes, StaleBytes, MovedBytes int64
	// Heat is the expected share of the layer's live bytes that the next version changes, 0 to 1.
	Heat float64
}

// Dropped is a layer of the base that the layout does not keep.
type Dropped struct {
	Digest digest.Digest
	Name   string
	// Bytes is the blob's size, LiveBytes the estimated part of it that was still wanted and is written again.
	Bytes, LiveBytes int64
	// Why is one of the Why constants.
	Why Why
	// Detail says more where there is more to say: which directory changed.
	Detail string
}

// Why says why a layer of the base is not kept.
type Why string

const (
	// WhyHidden: nothing in it is live.
	WhyHidden Why = "hidden"
	// WhyHeader: it holds a directory with another header than the tree's, or a directory where the tree has something else.
	WhyHeader Why = "changed directory"
	// WhyStale: what is hidden in it was worth reclaiming.
	WhyStale Why = "stale"
	// WhyRoom: its layer was needed for something else.
	WhyRoom Why = "room"
)
