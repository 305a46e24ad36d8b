package trust

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk/image"
)

// Bounds of what is said about an image, and of the memory for what was read of it.
const (
	maxAbout      = 64 << 20 // bytes of a layer
	maxAboutParts = 64
	maxDocuments  = 4096
)

// aboutTypes are media types of what is said about images, as layers of artifacts.
func aboutTypes() []string {
	return []string{
		simplesigning.PayloadType, "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json",
		"application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml", "application/vnd.cyclonedx",
		"application/vnd.syft+json", "application/spdx+json", "text/spdx+json", "text/spdx+xml", "text/spdx",
		"application/sarif+json", "application/vnd.cncf.notary.signature", "application/jose+json", "application/cose",
	}
}

// aboutImages reports whether a manifest holds signatures, attestations or the like and nothing else. They are how images
// are checked, so nobody signs them; whoever reads them checks them. Media types are whatever their author wrote, and some
// clients unpack layers of any, so more is asked: it is not shown under a tag that people pull, and it either cannot be
// taken for an image, by its config, or has no layer that could be unpacked.
func (g *Guard) aboutImages(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) (bool,
	error) {
	switch {
	case tag != "" && !tag.AboutImage():
		return false, nil
	case m.MediaType == ocispec.MediaTypeImageIndex:
		return g.aboutAll(ctx, repo, m)
	case m.MediaType != ocispec.MediaTypeImageManifest:
		return false, nil
	}
	doc, err := oci.Parse(m.MediaType, m.Bytes)
	if err != nil || doc.Manifest == nil || !aboutLayers(doc.Manifest.Layers) {
		return false, nil
	}
	if !looksLikeImage(doc.Manifest.Config.MediaType) {
		return tag != "" || doc.Manifest.Subject != nil || doc.Manifest.ArtifactType != "", nil
	}
	// cosign's signature images and BuildKit's attestations have an image's config. What they hold is text.
	key := repo.String() + "@" + m.Digest.String()
	if text, ok := g.documents.Get(key); ok {
		return text, nil
	}
	for _, l := range doc.Manifest.Layers {
		text, err := g.text(ctx, repo, l)
		if err != nil {
			return false, fmt.Errorf("reading what is said about an image: %w", err)
		}
		if !text {
			g.documents.Add(key, false)
			return false, nil
		}
	}
	g.documents.Add(key, true)
	return true, nil
}

// aboutAll reports whether an index, as the list of what refers to an image is one under the tag that stands in for the
// referrers API, names nothing but what is about images. What it names and is gone cannot be run either.
func (g *Guard) aboutAll(ctx context.Context, repo name.Repository, m *registry.Manifest) (bool, error) {
	idx, err := image.ParseLayout(m.Bytes)
	if err != nil {
		return false, nil //nolint:nilerr // whoever reads it next says what is wrong
	}
	key := repo.String() + "@" + m.Digest.String()
	if about, ok := g.documents.Get(key); ok {
		return about, nil
	}
	entries := idx.Manifests()
	about := len(entries) <= maxAboutParts
	for _, d := range entries {
		if !about || d.MediaType != ocispec.MediaTypeImageManifest || d.Platform != nil {
			about = false
			break
		}
		child, err := g.Manifests.Get(ctx, repo, d.Digest)
		if upstream.Absent(err) {
			continue
		}
		if err == nil {
			about, err = g.aboutImages(ctx, repo, "", child)
		}
		if err != nil {
			return false, fmt.Errorf("reading what refers to an image: %w", err)
		}
	}
	g.documents.Add(key, about)
	return about, nil
}

func aboutLayers(layers []ocispec.Descriptor) bool {
	about := aboutTypes()
	for _, l := range layers {
		kind, _, _ := strings.Cut(l.MediaType, ";")
		if !slices.Contains(about, kind) && !bundle.Is(l.MediaType) || l.Size <= 0 || l.Size > maxAbout || len(l.URLs) > 0 {
			return false
		}
	}
	return len(layers) > 0 && len(layers) <= maxAboutParts
}

// looksLikeImage reports whether clients may take a manifest for an image by the type of its config. One without a type is
// taken for anything.
func looksLikeImage(config string) bool {
	config = strings.ToLower(config)
	return config == "" || strings.Contains(config, "image") || strings.Contains(config, "docker") ||
		strings.Contains(config, "container")
}

// tarHeader is the length of the header that a tar archive begins with, in bytes.
const tarHeader = 512

// text reports whether a layer is text. Nothing compressed is: it has zeros, or bytes that are no UTF-8, and what bzip2
// begins with. Nor is what begins with the header of an archive, which can be text throughout (tar of Unix v7).
func (g *Guard) text(ctx context.Context, repo name.Repository, l ocispec.Descriptor) (bool, error) {
	rc, _, err := g.Upstream.Blob(ctx, repo, l.Digest, l.Size)
	if err != nil {
		return false, err
	}
	defer rc.Close()
	r := bufio.NewReader(io.LimitReader(rc, maxAbout+1))
	if start, _ := r.Peek(3); bytes.Equal(start, []byte("BZh")) {
		return false, nil
	}
	if start, _ := r.Peek(tarHeader); len(start) == tarHeader {
		if _, err := tar.NewReader(bytes.NewReader(start)).Next(); !errors.Is(err, tar.ErrHeader) {
			return false, nil
		}
	}
	for {
		c, size, err := r.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		case c == 0, c == utf8.RuneError && size == 1:
			return false, nil
		}
	}
}
