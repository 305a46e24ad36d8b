package tree

import (
	"errors"
	"fmt"
	"math"
)

// The errors of this package wrap one of these.
var (
	// ErrInvalid marks a layer that breaks the tar format or the layer changeset rules.
	ErrInvalid = errors.New("invalid layer")
	// ErrLimit marks a layer or image that exceeds one of Limits.
	ErrLimit = errors.New("limit exceeded")
	// ErrNoContent marks a content that Contents does not hold.
	ErrNoContent = errors.New("no such content")
)

// Limits bound what one image may demand: all its layers together, unless it says otherwise. The zero value of a field
// stands for its default.
type Limits struct {
	// LayerBytes is the length of one uncompressed layer, and the sum of the sizes of its files, holes of sparse files
	// included; default 64 GiB.
	LayerBytes int64
	// ImageBytes is the same for all layers; default 256 GiB.
	ImageBytes int64
	// Entries is the number of headers in the layers, and of paths in the tree; default 4,000,000.
	Entries int
	// MetaBytes is the sum of the lengths of names, link targets and extended attributes in headers, and of a tree's paths;
	// default 512 MiB.
	MetaBytes int64
	// Memory is what the layers' indexes, the tree and their strings take, in bytes, by a rough count that does not
	// undercount; attributes that are equal count once. The default, 576 MiB, is some 1.1 million paths in one layer.
	Memory int64
	// Path is the length of one path or link target in bytes, before and after symlinks are followed; default 4096
	// (PATH_MAX).
	Path int
	// Depth is the number of components of a path; default 256.
	Depth int
	// InlineBytes is the sum of the contents that indexes carry; default 32 MiB. What is beyond it is left out.
	InlineBytes int64
	// Window is the largest zstd window that is decoded, which is memory; default 128 MiB.
	Window uint64
}

// OrDefault returns l with every zero field replaced by its default.
func (l Limits) OrDefault() Limits {
	if l.LayerBytes == 0 {
		l.LayerBytes = 64 << 30
	}
	if l.ImageBytes == 0 {
		l.ImageBytes = max(256<<30, l.LayerBytes)
	}
	if l.Memory == 0 {
		l.Memory = 576 << 20
	}
	if l.Entries == 0 {
		l.Entries = 4_000_000
	}
	if l.MetaBytes == 0 {
		l.MetaBytes = 128 << 20
	}
	if l.Path == 0 {
		l.Path = 4096
	}
	if l.Depth == 0 {
		l.Depth = 256
	}
	if l.InlineBytes == 0 {
		l.InlineBytes = 32 << 20
	}
	if l.Window == 0 {
		l.Window = 128 << 20
	}
	return l
}

// unlimited is for what was checked before.
var unlimited = Limits{
	LayerBytes: math.MaxInt64, ImageBytes: math.MaxInt64, Memory: math.MaxInt64, Entries: math.MaxInt,
	MetaBytes: math.MaxInt64, Path: math.MaxInt, Depth: math.MaxInt,
	InlineBytes: math.MaxInt64, Window: math.MaxUint64,
}

// OverLimit is the error that something exceeds a limit. It wraps ErrLimit.
func OverLimit(what string, limit any) error {
	return fmt.Errorf("%w: %s, at most %v", ErrLimit, what, limit)
}

// Invalidf is an error that wraps ErrInvalid. Strings among args come from outside and are shortened.
func Invalidf(format string, args ...any) error {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = clip(s)
		}
	}
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
