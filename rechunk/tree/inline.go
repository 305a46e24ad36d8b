package tree

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
)

// Inline is a small content that an index carries, because it is read whenever the image is worked on: package lists, and the
// attributes that ostree keeps in files of their own. A layer that is known by its index then need not be read again for them.
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

// inliner collects the inline contents of a layer while it is scanned.
type inliner struct {
	want  func(path string) bool
	left  int64
	found map[Digest][]byte
}

// open returns where to put the content of a file, or nil when it is not to be carried.
func (in *inliner) open(path string, size int64) *bytes.Buffer {
	if in.want == nil || size > min(MaxInline, in.left) || !in.want(path) {
		return nil
	}
	return bytes.NewBuffer(make([]byte, 0, size))
}

func (in *inliner) close(d Digest, b *bytes.Buffer) {
	if _, twice := in.found[d]; b == nil || twice {
		return
	}
	if in.found == nil {
		in.found = map[Digest][]byte{}
	}
	in.found[d] = b.Bytes()
	in.left -= int64(b.Len())
}

func (in *inliner) list() []Inline {
	var out []Inline
	for d, b := range in.found {
		out = append(out, Inline{d, b})
	}
	slices.SortFunc(out, func(a, b Inline) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	return out
}

// validateInline checks order, sizes and digests.
func (x *Index) validateInline(lim Limits) error {
	var total int64
	for i, in := range x.Inline {
		if i > 0 && bytes.Compare(x.Inline[i-1].Digest[:], in.Digest[:]) >= 0 {
			return invalid("inline content %s is out of order", in.Digest)
		}
		if Digest(sha256.Sum256(in.Content)) != in.Digest {
			return invalid("inline content %s is another one", in.Digest)
		}
		if total += int64(len(in.Content)); len(in.Content) > MaxInline || total > lim.InlineBytes {
			return limitError("bytes of inline contents", lim.InlineBytes)
		}
	}
	return nil
}

// IsOSTreeAttributes reports whether a path is that of an ostree object that holds a file's extended attributes
// (bare-split-xattrs), which Plain reads.
func IsOSTreeAttributes(path string) bool {
	return strings.HasPrefix(path, objectsDir) &&
		(strings.HasSuffix(path, ".file-xattrs") || strings.HasSuffix(path, ".file-xattrs-link"))
}
