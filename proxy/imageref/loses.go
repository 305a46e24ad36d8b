package imageref

import (
	"context"
	"errors"
	"fmt"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrLoses says that writing would lose an image that is to stay.
var ErrLoses = errors.New("would be lost")

// Spare returns an error that is ErrLoses when an image that is written to r replaces one of those that inputs name: an
// archive is replaced as a whole, under whatever name its file is reached, and a tag of a layout or a registry leads to the
// written image alone. Inputs that can't be read are left to whoever opens them.
func (r Ref) Spare(inputs ...Ref) error {
	for _, in := range inputs {
		if r.replaces(in) {
			return r.describe("write", fmt.Errorf("the input %s %w; choose another place", in, ErrLoses))
		}
	}
	return nil
}

// SpareOthers returns an error that is ErrLoses when r is an archive that holds images of other names than that which is to
// be written.
func (r Ref) SpareOthers(ctx context.Context, opts Options) error {
	if r.kind != kindArchive {
		return nil
	}
	if info, err := os.Stat(r.path); err != nil || !info.Mode().IsRegular() {
		return nil // Create says what is wrong
	}
	for _, name := range r.held(ctx, opts) {
		if name != r.tag {
			return r.describe("write", fmt.Errorf("the archive is replaced as a whole, and its image %s %w; choose another "+
				"file, or remove this one first", listed([]string{name}), ErrLoses))
		}
	}
	return nil
}

// held are the tags of an archive's images, "" for one without; none for what is no archive.
func (r Ref) held(ctx context.Context, opts Options) []string {
	f, err := openPlainTar(ctx, r.path, opts.TempDir, maxUnpacked)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	files, err := indexTar(ctx, f)
	if err != nil {
		return nil
	}
	var tags []string
	for _, d := range indexed(files) {
		tags = append(tags, d.Annotations[ocispec.AnnotationRefName])
	}
	return tags
}

// indexed are the entries of a layout's index.json; none where that can't be read.
func indexed(files layoutFiles) []ocispec.Descriptor {
	raw, err := readLayoutFile(files, ocispec.ImageIndexFile, maxIndexFile)
	if err != nil {
		return nil
	}
	x, err := parseIndexFile(raw)
	if err != nil {
		return nil
	}
	return x.Manifests()
}

// replaces reports whether an image that is written to r takes the place of the one that in names.
func (r Ref) replaces(in Ref) bool {
	switch {
	case r.kind != in.kind:
		return false
	case r.kind == kindRegistry:
		return r == in
	case !sameFile(r.path, in.path):
		return false
	case r.kind == kindArchive || r.tag == in.tag:
		return true
	}
	// Without a tag, the input is whatever image there is.
	for _, d := range indexed(dirFiles(in.path)) {
		if in.tag == "" && d.Annotations[ocispec.AnnotationRefName] == r.tag {
			return true
		}
	}
	return false
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
