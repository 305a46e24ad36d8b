package airgap

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/ociarchive"
)

// ExportOptions say what goes into a file.
type ExportOptions struct {
	imageref.Options
	// Name is the reference that the image is to be served under; "" is its own, without the name of a proxy before it.
	Name string
	// Platform is empty for an index with all that it lists, or picks one image of it.
	Platform string
	// Since are images whose blobs are left out: the other side has them.
	Since []string
	// Delta says that layers are carried as what makes them of the first of Since.
	Delta bool
	// Deltas make those, and proofs of what images were made of; nil makes none. NoOrigin leaves the proofs out.
	Deltas   Deltas
	NoOrigin bool
	// Progress hears of bytes that were written; nil: nobody.
	Progress func(done, total int64)
}

// export is one run.
type export struct {
	documents
	ExportOptions
	from    *imageref.Repository
	asked   *imageref.Repository // from, as what is said about images is asked for
	entries []ocispec.Descriptor // of index.json
	repo    string
	left    map[digest.Digest]bool // blobs that the other side has, or makes
	found   int                    // artifacts
	staged  staging                // blobs that were made for the file
	report  *Report
}

// cosignSuffixes are of the tags under which cosign 2 keeps what belongs to an image.
var cosignSuffixes = []string{".sig", ".att", ".sbom"}

// Export writes an image of a registry, with what is signed and attested of it, into a file. The file comes into being when
// it is complete; one that was there is replaced.
func Export(ctx context.Context, reference, file string, o ExportOptions) (_ *Report, err error) {
	ref, err := imageref.Parse(reference)
	if err != nil {
		return nil, err
	}
	if err := o.spare(file); err != nil {
		return nil, err
	}
	e := &export{ExportOptions: o, report: &Report{Entries: []Entry{}}, left: map[digest.Digest]bool{}}
	if e.from, err = imageref.OpenRepository(ref, o.Options); err != nil {
		return nil, err
	}
	defer func() { err = closing(err, e.from) }()
	e.asked = e.from
	if e.staged.dir, err = os.MkdirTemp(o.TempDir, "strata-export-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(e.staged.dir)) }()
	if err := e.leave(ctx); err != nil {
		return nil, err
	}
	if err := e.gather(ctx, ref); err != nil {
		return nil, fmt.Errorf("export %s: %w", ref, err)
	}
	if len(e.report.Missing) > 0 {
		for _, entry := range e.entries {
			entry.Annotations[AnnotationMissing] = "true"
		}
	}
	if err := e.write(ctx, file); err != nil {
		return nil, fmt.Errorf("write %s: %w", file, err)
	}
	return e.report, nil
}

// spare refuses a file that an image of Since is in: the new one can't do without that.
func (o *ExportOptions) spare(file string) error {
	to, err := imageref.Parse("oci-archive:" + file)
	if err != nil {
		return err
	}
	for _, s := range o.Since {
		in, err := imageref.Parse(s)
		if err != nil {
			return err
		}
		if err := to.Spare(in); err != nil {
			return err
		}
	}
	return nil
}

// leave finds out which blobs the other side has.
func (e *export) leave(ctx context.Context) (err error) {
	for _, s := range e.Since {
		ref, err := imageref.Parse(s)
		if err != nil {
			return err
		}
		o := e.Options
		o.Platform = e.Platform
		image, err := ref.Open(ctx, o)
		if err != nil {
			return err
		}
		mediaType, raw, d := image.Manifest()
		var docs documents
		_, err = docs.add(ocispec.Descriptor{MediaType: mediaType, Digest: d}, raw)
		if err = closing(err, image); err != nil {
			return err
		}
		for _, b := range docs.blobs() {
			e.left[b.Digest] = true
		}
	}
	return nil
}

// gather collects the manifests of the image and of all that belongs to it.
func (e *export) gather(ctx context.Context, ref imageref.Ref) error {
	top, raw, err := e.top(ctx, ref)
	if err != nil {
		return err
	}
	own := e.Name
	if own == "" {
		own = nameOf(ref.String()[len("docker://"):])
	}
	repo, tag, err := name.Parser{}.ParseReference(own)
	if err != nil {
		return fmt.Errorf("the name to serve it under, --as: %w", err)
	}
	e.repo = repo.String()
	separator := ":"
	if tag.IsDigest() {
		separator = "@"
	}
	if _, err := e.tree(ctx, top, raw, e.from.Document, 0); err != nil {
		return err
	}
	e.enter(e.repo+separator+string(tag), top)
	images := append([]*document{}, e.all...)
	for _, m := range images {
		if err := e.about(ctx, m.Digest, 0); err != nil {
			return err
		}
	}
	if e.Deltas == nil {
		return nil
	}
	if !e.NoOrigin {
		for _, m := range images {
			if err := e.origin(ctx, m); err != nil {
				return err
			}
		}
	}
	return e.deltas(ctx, images)
}

// top is what the reference stands for: an index only if no platform is asked for.
func (e *export) top(ctx context.Context, ref imageref.Ref) (ocispec.Descriptor, []byte, error) {
	if e.Platform == "" {
		return e.from.Named(ctx)
	}
	o := e.Options
	o.Platform = e.Platform
	image, err := ref.Open(ctx, o)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	mediaType, raw, d := image.Manifest()
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}, raw, closing(nil, image)
}

// enter adds an entry of index.json.
func (e *export) enter(named string, d ocispec.Descriptor) {
	d.Annotations = map[string]string{imageref.AnnotationRepository: e.repo}
	if named != "" {
		d.Annotations[ocispec.AnnotationRefName] = named
	}
	if len(e.left) > 0 {
		d.Annotations[AnnotationPartial] = "true"
	}
	d.URLs, d.Data = nil, nil
	e.entries = append(e.entries, d)
	e.report.Entries = append(e.report.Entries, Entry{named, d.Digest, d.MediaType})
}

// write makes the file: what it is, what it holds, manifests, blobs.
func (e *export) write(ctx context.Context, file string) (err error) {
	out, err := os.CreateTemp(filepath.Dir(file), ".strata-export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = out.Close() // may be the second one
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(out, 1<<20)
	w := &archive{tar.NewWriter(buffered), e.report}
	if err := w.layout(e.entries); err != nil {
		return err
	}
	for _, m := range e.all {
		if err := w.blob(m.Digest, m.Size, bytes.NewReader(m.raw)); err != nil {
			return err
		}
	}
	if err := e.content(ctx, w); err != nil {
		return err
	}
	if err := errors.Join(w.Close(), buffered.Flush(), out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), file)
}

// content writes configs and layers as they come.
func (e *export) content(ctx context.Context, w *archive) error {
	var wanted []ocispec.Descriptor
	var total, done int64
	for _, b := range e.blobs() {
		switch {
		case e.seen[b.Digest] != nil:
		case !e.staged.has(b.Digest) && e.left[b.Digest]:
			e.report.Left += b.Size
		default:
			wanted = append(wanted, b)
			total += b.Size
		}
	}
	for _, b := range wanted {
		r, err := e.blob(ctx, b)
		if err != nil {
			return err
		}
		if err := closing(w.blob(b.Digest, b.Size, r), r); err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
		if done += b.Size; e.Progress != nil {
			e.Progress(done, total)
		}
	}
	return nil
}

// blob opens what was made for the file, or is in the registry.
func (e *export) blob(ctx context.Context, b ocispec.Descriptor) (io.ReadCloser, error) {
	if e.staged.has(b.Digest) {
		return e.staged.open(b.Digest)
	}
	return e.from.Blob(ctx, b.Digest, b.Size)
}

// archive is a layout that is being written.
type archive struct {
	*tar.Writer
	report *Report
}

func (w *archive) file(name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(ociarchive.Header(name, size)); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

func (w *archive) blob(d digest.Digest, size int64, r io.Reader) error {
	w.report.Blobs++
	w.report.Bytes += size
	return w.file(ociarchive.BlobName(d), size, r)
}

func (w *archive) layout(entries []ocispec.Descriptor) error {
	version, err := ociarchive.LayoutFile()
	if err != nil {
		return err
	}
	index, err := ociarchive.IndexFile(entries)
	if err != nil {
		return err
	}
	if err := w.file(ocispec.ImageLayoutFile, int64(len(version)), bytes.NewReader(version)); err != nil {
		return err
	}
	return w.file(ocispec.ImageIndexFile, int64(len(index)), bytes.NewReader(index))
}
