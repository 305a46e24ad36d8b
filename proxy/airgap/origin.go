package airgap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxWhy bounds what a report says of why there is no proof.
const maxWhy = 500

// origin adds the source of what a Strata made, with its signatures, and what proves that it is the source. Where that
// cannot be had the file is good all the same, for who trusts the signatures of what was made, and the report says why.
func (e *export) origin(ctx context.Context, m *document) error {
	source, err := e.source(ctx, m)
	if source == "" && err == nil {
		return nil
	}
	if err == nil {
		err = e.prove(ctx, m, source)
	}
	o := Origin{Digest: m.Digest, Source: source}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		o.Unproven = fmt.Sprintf("%.*s", maxWhy, err.Error())
	}
	e.report.Origins = append(e.report.Origins, o)
	return nil
}

// source returns what an image or an index was made of; empty for an original.
func (e *export) source(ctx context.Context, m *document) (digest.Digest, error) {
	source, err := e.madeOf(ctx, m)
	if err != nil || source == m.Digest || source.Validate() != nil {
		return "", err
	}
	return source, nil
}

func (e *export) madeOf(ctx context.Context, m *document) (digest.Digest, error) {
	if m.doc.Manifest != nil {
		return digest.Digest(m.doc.Manifest.Annotations[image.AnnotationSource]), nil
	}
	return e.from.MadeOf(ctx, m.Digest)
}

// prove adds what proves that m was made of a source.
func (e *export) prove(ctx context.Context, m *document, source digest.Digest) error {
	desc, raw, err := e.from.ByDigest(ctx, source)
	if err != nil {
		return fmt.Errorf("its source: %w", err)
	}
	if m.doc.Index != nil {
		if err := e.alone(desc, raw, AnnotationOrigin, m.Digest); err != nil {
			return err
		}
		return e.about(ctx, source, 0)
	}
	artifact, err := e.Deltas.Origin(ctx, e.from.Image(m.Descriptor, m.raw), e.from.Image(desc, raw), e.staged)
	if err != nil {
		return err
	}
	made := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(artifact)}
	if err := e.alone(made, artifact, AnnotationOrigin, m.Digest); err != nil {
		return err
	}
	return e.about(ctx, source, 0)
}

// alone adds a document without what it leads to elsewhere, as an entry about an image.
func (e *export) alone(d ocispec.Descriptor, raw []byte, annotation string, of digest.Digest) error {
	m, err := e.add(d, raw)
	if err != nil {
		return err
	}
	e.enter("", m.Descriptor)
	entry := &e.entries[len(e.entries)-1]
	entry.Annotations[annotation] = of.String()
	if m.doc.Manifest != nil {
		entry.ArtifactType = m.doc.Manifest.ArtifactType
	}
	return nil
}

// deltas replaces layers of images by what makes them of the first image of Since.
func (e *export) deltas(ctx context.Context, images []*document) error {
	if !e.Delta {
		return nil
	}
	for _, m := range images {
		if m.doc.Manifest == nil {
			continue
		}
		if err := e.delta(ctx, m); err != nil {
			return fmt.Errorf("the delta to %s: %w", m.Digest, err)
		}
	}
	return nil
}

func (e *export) delta(ctx context.Context, m *document) (err error) {
	ref, err := imageref.Parse(e.Since[0])
	if err != nil {
		return err
	}
	o := e.Options
	if o.Platform, err = e.platform(m); err != nil {
		return err
	}
	old, err := ref.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = closing(err, old) }()
	raw, err := e.Deltas.Make(ctx, old, e.from.Image(m.Descriptor, m.raw), e.staged)
	if err != nil {
		return err
	}
	artifact, err := ocidelta.Parse(raw)
	if err != nil {
		return err
	}
	for _, l := range artifact.Layers {
		switch {
		case l.Whole(), e.left[l.To]:
		case l.Encoder == "":
			return fmt.Errorf("layer %s cannot be made again byte for byte: export the image without --delta", l.To)
		default:
			e.left[l.To] = true
		}
	}
	made := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw)}
	return e.alone(made, raw, AnnotationDelta, m.Digest)
}

// platform is the one of an image: that which was asked for, or the one that the index gives it.
func (e *export) platform(m *document) (string, error) {
	for _, top := range e.all {
		if top.doc.Index == nil {
			continue
		}
		for _, c := range top.doc.Index.Images(nil) {
			if c.Digest == m.Digest {
				return c.Platform, nil
			}
		}
	}
	return e.Platform, nil
}

// staging is a directory of blobs by digest.
type staging struct{ dir string }

var _ imagedelta.Sink = staging{}

func (s staging) path(d digest.Digest) string { return filepath.Join(s.dir, d.Encoded()) }

// PutBlob implements imagedelta.Sink. What it is given was made here, or comes from a reader that verifies.
func (s staging) PutBlob(_ context.Context, d ocispec.Descriptor, r io.Reader) error {
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = closing(err, f); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), s.path(d.Digest))
}

func (s staging) has(d digest.Digest) bool {
	_, err := os.Stat(s.path(d))
	return err == nil
}

func (s staging) open(d digest.Digest) (io.ReadCloser, error) { return os.Open(s.path(d)) }
