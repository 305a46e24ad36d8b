package airgap

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/imagedelta"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/verify"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/image"
)

// ErrOrigin says that an image of a file was not made of what the file says.
var ErrOrigin = errors.New("it was not made of the source that the file names")

// aid is an entry that helps to import another one, and is not kept.
type aid struct {
	*document
	of     digest.Digest
	proves bool // or makes
}

// aid takes an entry that is about another one aside.
func (l *load) aid(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	a := aid{of: digest.Digest(d.Annotations[AnnotationDelta])}
	if a.of == "" {
		a.of, a.proves = digest.Digest(d.Annotations[AnnotationOrigin]), true
	}
	if a.of == "" {
		return false, nil
	}
	if named := d.Annotations[ocispec.AnnotationRefName]; named != "" {
		return true, fmt.Errorf("the entry %s is about the image %s, and no image that has a name of its own, %.200q",
			d.Digest,
			a.of, named)
	}
	raw, err := l.file.Document(ctx, d)
	if err != nil {
		return true, err
	}
	apart := documents{bytes: l.bytes} // it is counted, and not stored
	if a.document, err = apart.add(d, raw); err != nil {
		return true, err
	}
	l.bytes = apart.bytes
	l.aids = append(l.aids, a)
	return true, nil
}

// make makes what the file has deltas of, and what is not there yet.
func (l *load) make(ctx context.Context) error {
	for _, a := range l.aids {
		m := l.seen[a.of]
		if a.proves || m == nil || m.doc.Manifest == nil {
			continue
		}
		there, err := l.whole(ctx, m)
		if err == nil && !there {
			err = l.apply(ctx, a)
		}
		if err != nil {
			return fmt.Errorf("image %s, of which the file has a delta: %w", a.of, err)
		}
	}
	return nil
}

// whole reports whether all that an image is of is in the file or in the store.
func (l *load) whole(ctx context.Context, m *document) (bool, error) {
	for _, b := range m.doc.Manifest.Layers {
		if l.file.Has(b.Digest) {
			continue
		}
		_, err := l.Chunks.Stat(ctx, b.Digest)
		if errors.Is(err, chunkstore.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (l *load) apply(ctx context.Context, a aid) error {
	if l.Deltas == nil {
		return errors.New("nothing here makes images of deltas")
	}
	artifact, err := ocidelta.Parse(a.raw)
	if err != nil {
		return err
	}
	old, err := l.stored(ctx, artifact.Source)
	if err != nil {
		return fmt.Errorf("it is made of the image %s, which is not whole in the store: %w; import that one first, or "+
			"export the new one without --delta", artifact.Source, err)
	}
	made, err := l.Deltas.Apply(ctx, old, a.raw, l.open, into{l})
	if err == nil && !made.Exact {
		err = fmt.Errorf("%w: layer %s", imagedelta.ErrWrong, made.Inexact()[0])
	}
	return err
}

// open opens a blob of the file.
func (l *load) open(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return l.file.Blob(ctx, d.Digest, d.Size)
}

// into puts what is made into the store.
type into struct{ *load }

// PutBlob implements imagedelta.Sink.
func (i into) PutBlob(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	return i.Chunks.PutFrom(ctx, chunkstore.Expected{Digest: d.Digest, Size: d.Size}, r)
}

// prove finds out what images were made of. A proof that fails ends the import: the file is not what it says.
func (l *load) prove(ctx context.Context) error {
	if l.Deltas == nil {
		return nil
	}
	for _, a := range l.aids {
		m := l.seen[a.of]
		if !a.proves || m == nil || m.doc.Manifest == nil || a.doc.Manifest == nil || l.sources[a.of] != nil {
			continue
		}
		source, err := l.source(ctx, m, a)
		if err != nil {
			return fmt.Errorf("image %s: %w", a.of, err)
		}
		l.found(a.of, source)
	}
	for _, a := range l.aids {
		m := l.seen[a.of]
		if !a.proves || m == nil || m.doc.Index == nil || a.doc.Index == nil || l.sources[a.of] != nil {
			continue
		}
		if err := l.index(m, a); err != nil {
			return fmt.Errorf("index %s: %w", a.of, err)
		}
		l.found(a.of, a.document)
	}
	return nil
}

func (l *load) found(of digest.Digest, source *document) {
	l.sources[of] = source
	l.report.Origins = append(l.report.Origins, Origin{Digest: of, Source: source.Digest})
}

// source checks what an image was made of, unless that was checked before.
func (l *load) source(ctx context.Context, m *document, a aid) (*document, error) {
	artifact, err := ocidelta.Parse(a.raw)
	if err != nil {
		return nil, err
	}
	if digest.Digest(m.doc.Manifest.Annotations[image.AnnotationSource]) != artifact.Target.Digest {
		return nil, fmt.Errorf("%w: the image itself names another one", ErrOrigin)
	}
	raw, err := l.file.Document(ctx, artifact.Target)
	if err != nil {
		return nil, err
	}
	var apart documents
	source, err := apart.add(artifact.Target, raw)
	if err != nil {
		return nil, err
	}
	have, err := l.Records.Manifests.Get(ctx, m.Digest)
	if err != nil {
		return nil, err
	}
	if have != nil && have.Served == catalog.Rechunked && have.Source == source.Digest {
		return source, nil
	}
	served := stored{l.Chunks, m}
	if err := l.Deltas.CheckOrigin(ctx, served, a.raw, l.open); err != nil {
		return nil, fmt.Errorf("%w, %s: %w", ErrOrigin, source.Digest, err)
	}
	return source, nil
}

// index checks that an index is another one with images that were made in the place of their sources.
func (l *load) index(m *document, a aid) error {
	with := map[digest.Digest]image.Document{}
	for _, c := range m.doc.Index.Manifests() {
		if source := l.sources[c.Digest]; source != nil {
			with[source.Digest] = image.Document{MediaType: c.MediaType, Digest: c.Digest, Bytes: l.seen[c.Digest].raw}
		}
	}
	again, err := a.doc.Index.Replace(with)
	if err != nil {
		return err
	}
	if again.Digest != m.Digest {
		return fmt.Errorf("%w: index %s", ErrOrigin, a.Digest)
	}
	return nil
}

// stored is an image in the store.
type stored struct {
	chunks *chunkstore.Store
	*document
}

var _ imageref.Source = stored{}

// stored returns an image of the store whose manifest's digest is known.
func (l *load) stored(ctx context.Context, d digest.Digest) (imageref.Source, error) {
	raw, err := l.Chunks.Get(ctx, d, image.MaxDocument)
	if err != nil {
		return nil, err
	}
	var apart documents
	m, err := apart.add(ocispec.Descriptor{Digest: d}, raw)
	if err != nil {
		return nil, err
	}
	if m.doc.Manifest == nil {
		return nil, errors.New("it is an index")
	}
	for _, b := range apart.blobs() {
		if _, err := l.Chunks.Stat(ctx, b.Digest); err != nil {
			return nil, err
		}
	}
	return stored{l.Chunks, m}, nil
}

// Manifest implements imageref.Source, and so do the next two.
func (s stored) Manifest() (string, []byte, digest.Digest) { return s.MediaType, s.raw, s.Digest }

// Blob opens a blob, whose last byte comes when all are right.
func (s stored) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	c, err := s.chunks.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	return Verified(c, d, size), nil
}

// Verified reads content whose last byte comes when all are right.
func Verified(c io.ReadCloser, d digest.Digest, size int64) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{verify.NewReader(c, d, size), c}
}

// Close does nothing.
func (stored) Close() error { return nil }
