// Package imagedelta makes delta artifacts between two images, and images of delta artifacts. It knows no registry and no
// store: images are inspections with a way to their blobs, and what comes about goes to who asks.
//
// docs/delta-artifacts.md specifies the artifacts.
package imagedelta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
)

// Format is what the layers of an artifact are made as.
type Format string

// The formats.
const (
	Strata   Format = "strata"
	TarDiff1 Format = "tar-diff-1"
	TarDiff2 Format = "tar-diff-2"
)

// Formats lists all formats.
func Formats() []Format { return []Format{TarDiff1, TarDiff2, Strata} }

// ParseFormat returns the format with the given name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats(), f) {
		return f, nil
	}
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return "", fmt.Errorf("format %q is not known: use %s", name, strings.Join(names, ", "))
}

// artifactType is the type of artifacts in the format.
func (f Format) artifactType() string {
	if f == Strata {
		return ocidelta.TypeStrata
	}
	return ocidelta.TypeTarDiff
}

var (
	// ErrOtherSource says that an artifact is not for the image that it was to be applied to.
	ErrOtherSource = errors.New("the delta is for another image")
	// ErrWrong says that what was made of an artifact is not what it should be.
	ErrWrong = errors.New("the delta does not make the image")
)

// Image is an image taken apart, and the way to its blobs.
type Image struct {
	*rechunk.Inspection
	// Blob opens a blob of the image's manifest. A read to io.EOF has verified it.
	Blob func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
	// Encoder returns what made a layer's blob of its tar stream (layer.Encoder.String), "" where that is not known: then
	// it is tried. Nil knows nothing.
	Encoder func(layer digest.Digest) string
}

// Sink takes the blobs of what is made.
type Sink interface {
	// PutBlob stores a blob, verified against the descriptor's digest and size. It does not read r after it returned.
	PutBlob(ctx context.Context, d ocispec.Descriptor, r io.Reader) error
}

// Tools are what making and applying work with.
type Tools struct {
	// Scratch gives temporary files.
	Scratch delta.Scratch
	// Encoders wrap again what is compressed inside of files; nil does without. Only the format strata asks for them.
	Encoders delta.Encoders
	// Trials remember what was tried; nil: nothing does.
	Trials delta.Trials
	// Parallel is how many layers, or encoders, are at work at the same time; 0 stands for 1.
	Parallel int
	// Memory is what making one delta may hold, in bytes; 0 stands for package delta's own bound.
	Memory int64
}

// diffIDs are those of an image's layers, with the position of the first that has it.
func diffIDs(i Image) map[digest.Digest]int {
	out := map[digest.Digest]int{}
	for n, d := range i.Image.Config.RootFS.DiffIDs {
		if _, ok := out[d]; !ok {
			out[d] = n
		}
	}
	return out
}
