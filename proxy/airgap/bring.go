package airgap

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

// Document is a manifest or an index.
type Document struct {
	ocispec.Descriptor
	Bytes []byte
}

// Brought is an image, or what is about one, that a file brings.
type Brought struct {
	Repository name.Repository
	// Tag is the one that it is to be served under; a digest, or empty, for what has none.
	Tag   name.Reference
	Image Document
	// Source is what it was proven to be made of, or the image itself.
	Source Document
}

// Made reports whether it was proven to be made of something else.
func (b Brought) Made() bool { return b.Image.Digest != b.Source.Digest }

// String is its full name.
func (b Brought) String() string {
	return catalog.TagKey{Repository: b.Repository.String(), Tag: string(b.Tag)}.String()
}

// Held is what a file holds, before any of it is served.
type Held interface {
	// Tag returns what a tag stands for after the import, as far as the file says.
	Tag(repo name.Repository, tag name.Reference) (digest.Digest, bool)
	// Document returns a manifest or an index, and what it was proven to be made of: itself, else.
	Document(d digest.Digest) (doc Document, source digest.Digest, ok bool)
	// Referrers returns the list of what refers to a manifest as it will be, or nil where the file has nothing to say.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest) ([]byte, error)
	// Blob opens a blob, or returns ErrNotHeld.
	Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error)
}

// ErrNotHeld says that a file does not have something.
var ErrNotHeld = errors.New("not in the file")

// Gate says what may come in, and is the one who writes what tags stand for.
type Gate interface {
	// Hold tells what the file holds, before anything is asked of it.
	Hold(file Held)
	// Check returns an error for an image that may not be brought. Nothing of the file is in the store's records then.
	Check(ctx context.Context, b Brought) error
	// Bring lets a tag stand for an image that is stored.
	Bring(ctx context.Context, b Brought) error
	// Take makes an image of a Strata that is stored the one that later versions are laid out after, under a tag; what it
	// was proven to be made of is served as it.
	Take(ctx context.Context, b Brought, under name.Reference) error
}

// brought describes an entry.
func (l *load) brought(e placed, m *document) Brought {
	b := Brought{Repository: e.repo, Tag: e.tag, Image: Document{m.Descriptor, m.raw}}
	b.Source = b.Image
	if source := l.sources[m.Digest]; source != nil {
		b.Source = Document{source.Descriptor, source.raw}
	}
	return b
}

// admitted asks whether all may come in that people pull. What only refers to an image, by its digest, is looked at when
// somebody asks for it; what stands under a tag of cosign and is nothing about an image is left out.
func (l *load) admitted(ctx context.Context) error {
	l.Gate.Hold(held{l})
	kept := l.entries[:0:0]
	for _, e := range l.entries {
		if e.tag != "" {
			err := l.Gate.Check(ctx, l.brought(e, e.doc))
			if err != nil && e.tag.AboutImage() && ctx.Err() == nil {
				l.report.Missing = append(l.report.Missing, Missing{string(e.tag), fmt.Sprintf("%.*s", maxWhy, err.Error())})
				continue
			}
			if err != nil {
				return err
			}
		}
		kept = append(kept, e)
	}
	l.entries = kept
	return nil
}

// bring lets tags stand for what the file says: signatures and lists first, then images, so that nobody sees one without.
func (l *load) bring(ctx context.Context) error {
	for _, about := range []bool{true, false} {
		for _, e := range l.entries {
			if e.tag == "" || e.tag.IsDigest() || e.tag.AboutImage() != about {
				continue
			}
			if err := l.Gate.Bring(ctx, l.brought(e, e.doc)); err != nil {
				return err
			}
		}
	}
	return nil
}

// take notes the images of Stratas in their lineages.
func (l *load) take(ctx context.Context) error {
	for _, e := range l.entries {
		if e.tag == "" || e.tag.AboutImage() {
			continue
		}
		for _, d := range l.below(e.doc) {
			m := l.seen[d]
			if m.doc.Manifest == nil || digest.Digest(m.doc.Manifest.Annotations[image.AnnotationSource]).Validate() != nil {
				continue
			}
			if err := l.Gate.Take(ctx, l.brought(e, m), e.tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// held is what an import has read.
type held struct{ *load }

var _ Held = held{}

// Tag implements Held, and so do the next three.
func (h held) Tag(repo name.Repository, tag name.Reference) (digest.Digest, bool) {
	for _, e := range h.entries {
		if e.repo == repo && e.tag == tag {
			return e.doc.Digest, true
		}
	}
	return "", false
}

// Document returns one of the file, or a source that the file proves.
func (h held) Document(d digest.Digest) (Document, digest.Digest, bool) {
	m := h.seen[d]
	if m == nil {
		for _, source := range h.sources {
			if source.Digest == d {
				return Document{source.Descriptor, source.raw}, d, true
			}
		}
		return Document{}, "", false
	}
	of := d
	if source := h.sources[d]; source != nil {
		of = source.Digest
	}
	return Document{m.Descriptor, m.raw}, of, true
}

// Referrers returns the list that the import will make.
func (h held) Referrers(ctx context.Context, repo name.Repository, d digest.Digest) ([]byte, error) {
	return h.listed(ctx, about{repo, d})
}

// Blob opens a blob of the file.
func (h held) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	if !h.file.Has(d) {
		return nil, ErrNotHeld
	}
	return h.file.Blob(ctx, d, size)
}
