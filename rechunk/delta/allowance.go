package delta

import (
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// allowance is what is left of what a reader allows by default (Limits, work). It is used up in the order of the stream,
// before it is known what of it will be needed, so that it does not depend on what is worked on at the same time. Beyond it,
// files of the seed are not looked at, and what is wrapped is left as it is.
type allowance struct {
	lim    Limits
	count  int   // of parts
	plain  int64 // bytes of theirs
	files  int   // of the seed
	header int64 // bytes that these take
}

// A part that is made of its plain bytes may be made of so many times as many, of its tokens, and of a part of the seed that
// is so many times as large, and somewhat more.
const (
	perPart   = 4
	morePart  = 4 << 10
	perSource = 64 // bytes of a source in the header, besides its path
)

func newAllowance() *allowance {
	lim := Limits{}.OrDefault()
	// Slots and the parts that are begun at the same time count, too.
	return &allowance{lim: lim, count: lim.Parts - 2*lim.Depth, plain: lim.Unwrapped, files: lim.Sources,
		header: lim.Header / 2}
}

// source allows a file of the seed.
func (a *allowance) source(f File) bool {
	clean, err := tree.CleanPath(f.Path, tree.Limits{Path: a.lim.Path, Depth: a.lim.Path})
	need := int64(len(f.Path) + perSource)
	if err != nil || clean != f.Path || f.Layer < 0 || f.Layer > maxLayers || a.files == 0 || a.header < need {
		return false
	}
	a.files, a.header = a.files-1, a.header-need
	return true
}

// part allows a part of so many plain bytes.
func (a *allowance) part(size int64) bool {
	if a.count == 0 || size > a.plain || size > a.lim.Part {
		return false
	}
	a.count, a.plain = a.count-1, a.plain-size
	return true
}

// parts allows what is wrapped in a file, but for the rest from where it is too much.
func (a *allowance) parts(list []wrap.Part) []wrap.Part {
	for i := range list {
		p := &list[i]
		if p.Decoder != "" && (p.Length > a.lim.Part || !a.part(perPart*(p.Size+p.Length)+morePart)) {
			return list[:i]
		}
		p.Parts = a.parts(p.Parts)
	}
	return list
}

// most is how many bytes there may be of what a node is made of: of its tokens, or of a part of the seed. Of more,
// unwrapping costs more than it is worth.
func (n *node) most() int64 { return perPart*(n.size+n.n) + morePart }
