package imageref

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/image"
)

// Limits of a layout's own documents, in bytes.
const (
	maxLayoutFile = 4 << 10
	maxIndexFile  = image.MaxLayoutIndex
)

// layoutFiles opens a layout's files by their slash-separated names. An error is fs.ErrNotExist where there is none.
type layoutFiles interface {
	open(name string) (f io.ReadCloser, size int64, err error)
}

// dirFiles are the files of a directory.
type dirFiles string

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	// Not blocking, so that a FIFO in a file's place is an error and no hang.
	f, err := os.OpenFile(filepath.Join(string(d), filepath.FromSlash(name)), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		return nil, 0, join(err, f.Close())
	}
	return f, info.Size(), nil
}

// layoutSource is an image in a layout.
type layoutSource struct {
	manifest
	files layoutFiles
}

var _ Source = (*layoutSource)(nil)

// openLayout finds the image that tag and platform stand for.
func openLayout(ctx context.Context, files layoutFiles, tag string, want platform) (*layoutSource, error) {
	if err := checkLayoutFile(files); err != nil {
		return nil, err
	}
	raw, err := readLayoutFile(files, ocispec.ImageIndexFile, maxIndexFile)
	if err != nil {
		return nil, err
	}
	descs, err := selectTag(raw, tag)
	if err != nil {
		return nil, err
	}
	s := &layoutSource{files: files}
	res := resolver{want: want, fetch: s.document}
	s.manifest, err = res.oneOf(ctx, descs)
	return s, err
}

// checkLayoutFile tells an OCI image layout from other directories; image-spec 1.0 and 1.1 both write version 1.0.0.
func checkLayoutFile(files layoutFiles) error {
	raw, err := readLayoutFile(files, ocispec.ImageLayoutFile, maxLayoutFile)
	if err != nil {
		return fmt.Errorf("not an OCI image layout: %w", err)
	}
	var layout ocispec.ImageLayout
	if err := json.Unmarshal(raw, &layout); err != nil {
		return fmt.Errorf("not an OCI image layout: %s: %w", ocispec.ImageLayoutFile, err)
	}
	if !strings.HasPrefix(layout.Version, "1.") {
		return fmt.Errorf("OCI image layout version %q is not supported; 1.x is", shorten(layout.Version, 100))
	}
	return nil
}

func readLayoutFile(files layoutFiles, name string, limit int64) ([]byte, error) {
	f, _, err := files.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file %s %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(f, limit)
	if err := join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("file %s: %w", name, err)
	}
	return raw, nil
}

// AnnotationRepository is, in index.json of a file that package airgap made, the repository that an entry belongs to,
// "host/path".
const AnnotationRepository = "io.github.strata-oci.repository"

// belongs reports whether an entry of index.json is no image of its own but belongs to one: a signature, an attestation,
// what refers to it, what proves its source.
func belongs(d ocispec.Descriptor) bool {
	named := d.Annotations[ocispec.AnnotationRefName]
	if named == "" {
		return d.ArtifactType != "" || d.Annotations[AnnotationRepository] != ""
	}
	return name.Reference(named[strings.LastIndexByte(named, ':')+1:]).AboutImage()
}

// selectTag returns the entries of index.json that a tag stands for; more than one is an image of several platforms. No tag
// stands for the only image there is, which may be spread over entries that have a platform each and no tag.
func selectTag(index []byte, tag string) ([]ocispec.Descriptor, error) {
	x, err := parseIndexFile(index)
	if err != nil {
		return nil, err
	}
	var tags []string
	var found []ocispec.Descriptor
	alone := slices.ContainsFunc(x.Manifests(), func(d ocispec.Descriptor) bool { return !belongs(d) })
	for _, d := range x.Manifests() {
		named := d.Annotations[ocispec.AnnotationRefName]
		beside := alone && belongs(d)
		if named != "" && !beside {
			tags = append(tags, named)
		}
		if tag == "" && !beside || tag != "" && named == tag {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0 && tag == "":
		return nil, fmt.Errorf("image %w: the layout is empty", ErrNotFound)
	case len(found) == 0 && len(tags) == 0:
		return nil, fmt.Errorf("tag %q %w: nothing there has a tag; leave it out", tag, ErrNotFound)
	case len(found) == 0:
		return nil, fmt.Errorf("tag %q %w: there is %s", tag, ErrNotFound, listed(tags))
	case allEqual(found):
		return found[:1], nil
	case tag == "" && (len(tags) > 0 || slices.ContainsFunc(found, withoutPlatform)):
		return nil, fmt.Errorf("%d images are there; add :TAG to choose one of %s", len(found), orNone(tags))
	}
	return found, nil
}

// allEqual reports whether entries are one image, under several tags perhaps.
func allEqual(descs []ocispec.Descriptor) bool {
	return !slices.ContainsFunc(descs, func(d ocispec.Descriptor) bool { return d.Digest != descs[0].Digest })
}

func withoutPlatform(d ocispec.Descriptor) bool { return d.Platform == nil }

func orNone(tags []string) string {
	if len(tags) == 0 {
		return "its tags (it has none: copy the wanted image to a layout of its own)"
	}
	return listed(tags)
}

// document reads a manifest.
func (s *layoutSource) document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	f, err := s.Blob(ctx, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(f, maxManifest)
	return raw, join(err, f.Close())
}

// Blob implements Source.
func (s *layoutSource) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	f, have, err := s.files.open(blobName(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("blob %s %w: the layout is incomplete", d, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("blob %s: %w", d, err)
	case have != size:
		err := fmt.Errorf("blob %s has %d bytes, not %d: %w", d, have, size, verify.ErrMismatch)
		return nil, join(err, f.Close())
	}
	return verified(untilEnd(ctx, f), d, size), nil
}

// Close implements Source.
func (s *layoutSource) Close() error {
	if c, ok := s.files.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// blobName is where a layout keeps a blob.
func blobName(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}
