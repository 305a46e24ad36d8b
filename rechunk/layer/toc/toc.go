// Package toc reads what zstd:chunked layers say of themselves: where the annotations of their descriptors put the table of
// contents, and whether that says what the layer's tar stream does.
//
// Clients that fetch layers in part make files by the table alone and never see the tar headers. So a table that says
// something else is another image, and whoever compares images has to read it.
package toc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The annotations of a layer's descriptor by which clients find the table and tar-split's data.
const (
	AnnotationChecksum = "io.github.containers.zstd-chunked.manifest-checksum"
	AnnotationPosition = "io.github.containers.zstd-chunked.manifest-position"
	AnnotationTarSplit = "io.github.containers.zstd-chunked.tarsplit-position"
)

// Longest is how long a table or tar-split's data may be for clients to read it, in bytes, compressed and not.
const Longest = 150 << 20

// ErrInvalid marks annotations and tables that are not what the format says, or do not fit their layer.
var ErrInvalid = errors.New("invalid table of contents")

// Span is a run of bytes of a blob that is a zstd frame.
type Span struct {
	// Offset and Size are of the compressed bytes, Plain is how many they unpack to.
	Offset, Size, Plain int64
}

// Place says where in a blob its table is.
type Place struct {
	// Digest is that of the table's compressed bytes.
	Digest digest.Digest
	Table  Span
	// TarSplit is where the data are of which clients make the tar stream again.
	TarSplit Span
}

// Told reports whether a descriptor's annotations tell of a table.
func Told(annotations map[string]string) bool { return annotations[AnnotationChecksum] != "" }

// IsAnnotation reports whether an annotation is one of those that Find reads.
func IsAnnotation(name string) bool {
	return name == AnnotationChecksum || name == AnnotationPosition || name == AnnotationTarSplit
}

// Find reads the annotations of a layer's descriptor. An error wraps ErrInvalid.
func Find(annotations map[string]string) (Place, error) {
	var p Place
	var err error
	if p.Digest, err = digest.Parse(annotations[AnnotationChecksum]); err != nil || p.Digest.Algorithm() != digest.SHA256 {
		return Place{}, fmt.Errorf("%w: annotation %s is no digest", ErrInvalid, AnnotationChecksum)
	}
	table, kind, _ := cutLast(annotations[AnnotationPosition])
	if kind != "1" {
		return Place{}, fmt.Errorf("%w: annotation %s names no table of type 1", ErrInvalid, AnnotationPosition)
	}
	if p.Table, err = parseSpan(table); err != nil {
		return Place{}, fmt.Errorf("%w: annotation %s %w", ErrInvalid, AnnotationPosition, err)
	}
	if p.TarSplit, err = parseSpan(annotations[AnnotationTarSplit]); err != nil {
		return Place{}, fmt.Errorf("%w: annotation %s %w", ErrInvalid, AnnotationTarSplit, err)
	}
	return p, nil
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// parseSpan reads "offset:size:plain", positive decimal numbers.
func parseSpan(s string) (Span, error) {
	fields := strings.Split(s, ":")
	if len(fields) != 3 || len(s) > 60 {
		return Span{}, errors.New("is not three numbers")
	}
	var n [3]int64
	for i, f := range fields {
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil || v <= 0 || v > 1<<50 || strconv.FormatInt(v, 10) != f {
			return Span{}, errors.New("has a number that is not one")
		}
		n[i] = v
	}
	return Span{n[0], n[1], n[2]}, nil
}

// TooLong reports whether clients refuse to read the table, or tar-split's data, for their length.
func (p Place) TooLong() bool {
	return max(p.Table.Size, p.Table.Plain, p.TarSplit.Size, p.TarSplit.Plain) > Longest
}
