package tree

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Inline is a small content that an index carries, because it is read whenever the image is worked on: package lists, and
// the attributes that ostree keeps in files of their own. A layer that is known by its index then need not be read again for
// them.
type Inline struct {
	Digest  Digest
	Content []byte
}

// MaxInline bounds one inline content, in bytes. A larger one is not carried.
const MaxInline = 4 << 20

// InlineContent returns a content that the index carries.
func (x *Index) InlineContent(d Digest) ([]byte, bool) {
	i, ok := slices.BinarySearchFunc(x.Inline, d, func(in Inline, d Digest) int { return bytes.Compare(in.Digest[:], d[:]) })
	if !ok {
		return nil, false
	}
	return x.Inline[i].Content, true
}

// validateInline checks order, sizes and digests.
func (x *Index) validateInline(lim Limits) error {
	var total int64
	for i, in := range x.Inline {
		if i > 0 && bytes.Compare(x.Inline[i-1].Digest[:], in.Digest[:]) >= 0 {
			return Invalidf("inline content %s is out of order", in.Digest)
		}
		if Digest(sha256.Sum256(in.Content)) != in.Digest {
			return Invalidf("inline content %s is another one", in.Digest)
		}
		if total += int64(len(in.Content)); len(in.Content) > MaxInline || total > lim.InlineBytes {
			return OverLimit("bytes of inline contents", lim.InlineBytes)
		}
	}
	return nil
}
