package scan

import (
	"bytes"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// inliner collects the inline contents of a layer while it is scanned.
type inliner struct {
	want   func(path string) bool
	budget *tree.Budget
	found  map[tree.Digest][]byte
}

// open returns where to put the content of a file, or nil when it is not to be carried.
func (in *inliner) open(path string, size int64) *bytes.Buffer {
	if in.want == nil || size > tree.MaxInline || !in.want(path) {
		return nil
	}
	return bytes.NewBuffer(make([]byte, 0, size))
}

func (in *inliner) close(d tree.Digest, b *bytes.Buffer) {
	if _, twice := in.found[d]; b == nil || twice {
		return
	}
	if !in.budget.TakeInline(int64(b.Len())) {
		return
	}
	if in.found == nil {
		in.found = map[tree.Digest][]byte{}
	}
	in.found[d] = b.Bytes()
}

func (in *inliner) list() []tree.Inline {
	var out []tree.Inline
	for d, b := range in.found {
		out = append(out, tree.Inline{Digest: d, Content: b})
	}
	slices.SortFunc(out, func(a, b tree.Inline) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	return out
}
