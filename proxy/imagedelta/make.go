package imagedelta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/layer/toc"
	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Made is an artifact that was made. Its blobs are in the sink.
type Made struct {
	Artifact *ocidelta.Artifact
	// Manifest is the artifact's.
	Manifest []byte
	Costs    *compare.Deltas
}

// maker makes one artifact.
type maker struct {
	old, next Image
	format    Format
	tools     Tools
	sink      Sink
	manifest  []byte // of next
	seed      []delta.File
}

// madeLayer is a layer of the artifact.
type madeLayer struct {
	ocidelta.Layer
	report delta.Report
	size   int64 // of the target's blob
}

// Make makes the artifact that leads from one image to another, whose manifest is raw. Blobs go to the sink; the manifest is
// for the caller to put behind them. A nil sink keeps nothing, and only the costs are of interest.
func Make(ctx context.Context, old, next Image, raw []byte, f Format, sink Sink, t Tools) (*Made, error) {
	started := time.Now()
	m := &maker{old: old, next: next, format: f, tools: t, sink: sink, manifest: raw}
	m.seed = tardiff.Nameable(old.Tree)
	if f == Strata {
		m.seed = seedFiles(old)
	}
	a := m.artifact()
	layers, err := m.layers(ctx, a)
	if err != nil {
		return nil, err
	}
	tally := compare.NewDeltaTally(old.Inspection, next.Inspection, string(f))
	for _, l := range layers {
		a.Layers = append(a.Layers, l.Layer)
		tally.Add(compare.DeltaLayer{Digest: l.To, Size: l.size, DeltaBytes: l.Blob.Size, Whole: l.Whole(),
			Exact: l.Encoder != "" || l.Whole()}, l.report)
	}
	out := &Made{Artifact: a, Costs: tally.Sum()}
	out.Costs.Seconds = time.Since(started).Seconds()
	if out.Manifest, err = a.Manifest(); err != nil || sink == nil {
		return out, err
	}
	return out, m.documents(ctx, a)
}

// artifact is the artifact without its layers.
func (m *maker) artifact() *ocidelta.Artifact {
	src := m.next.Image
	mediaType := src.Manifest.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
	}
	config := src.Manifest.Config
	return &ocidelta.Artifact{
		Type:   m.format.artifactType(),
		Target: ocispec.Descriptor{MediaType: mediaType, Digest: src.Digest, Size: int64(len(m.manifest))},
		Config: ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: config.Size},
		Source: m.old.Image.Digest, SourceConfig: m.old.Image.Manifest.Config.Digest,
	}
}

// documents stores what is no layer.
func (m *maker) documents(ctx context.Context, a *ocidelta.Artifact) error {
	empty := ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString(ocidelta.EmptyConfig),
		Size: int64(len(ocidelta.EmptyConfig))}
	for _, b := range []struct {
		d   ocispec.Descriptor
		raw []byte
	}{{a.Target, m.manifest}, {a.Config, m.next.Image.RawConfig}, {empty, []byte(ocidelta.EmptyConfig)}} {
		if err := m.sink.PutBlob(ctx, b.d, bytes.NewReader(b.raw)); err != nil {
			return fmt.Errorf("storing %s: %w", b.d.Digest, err)
		}
	}
	return nil
}

// layers makes the deltas of the layers that the old image lacks, several at the same time, and notes the others.
func (m *maker) layers(ctx context.Context, a *ocidelta.Artifact) ([]madeLayer, error) {
	have, seen := diffIDs(m.old), map[digest.Digest]bool{}
	var wanted []int
	for i, l := range m.next.Image.Manifest.Layers {
		diff := m.next.Image.Config.RootFS.DiffIDs[i]
		if seen[l.Digest] {
			continue
		}
		seen[l.Digest] = true
		if _, ok := have[diff]; ok {
			a.Reused = append(a.Reused, ocidelta.Reused{Blob: l.Digest, DiffID: diff})
			continue
		}
		wanted = append(wanted, i)
	}
	out := make([]madeLayer, len(wanted))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(m.tools.Parallel, 1))
	for n, i := range wanted {
		g.Go(func() error {
			return rescue.Call(func() (err error) {
				out[n], err = m.layer(gctx, i)
				if err != nil {
					err = fmt.Errorf("delta of layer %s: %w", m.next.Image.Manifest.Layers[i].Digest, err)
				}
				return err
			})
		})
	}
	return out, g.Wait()
}

// layer makes one delta and stores it, or the layer where that is smaller.
func (m *maker) layer(ctx context.Context, i int) (_ madeLayer, err error) {
	l := m.next.Image.Manifest.Layers[i]
	out := madeLayer{Layer: ocidelta.Layer{To: l.Digest, Blob: plain(l)}, size: l.Size}
	if out.Encoder, err = m.encoder(ctx, l); err != nil {
		return out, err
	}
	f, err := m.tools.Scratch.Create()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	if out.report, err = m.delta(ctx, io.MultiWriter(f, hash), i, out.Encoder); err != nil {
		return out, err
	}
	if f.Size() >= l.Size { // of no use
		out.Encoder = ""
		return out, m.whole(ctx, l)
	}
	out.Blob = ocispec.Descriptor{MediaType: ocidelta.MediaType(m.format.artifactType()), Size: f.Size(),
		Digest: digest.NewDigest(digest.SHA256, hash)}
	if m.sink == nil {
		return out, nil
	}
	return out, m.sink.PutBlob(ctx, out.Blob, io.NewSectionReader(f, 0, f.Size()))
}

// whole stores a layer as it is.
func (m *maker) whole(ctx context.Context, l ocispec.Descriptor) error {
	if m.sink == nil {
		return nil
	}
	rc, err := m.next.Blob(ctx, l)
	if err != nil {
		return err
	}
	defer rc.Close()
	return m.sink.PutBlob(ctx, plain(l), rc)
}

// plain is a descriptor without what only its manifest says.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// stream opens the tar stream of a layer.
func (m *maker) stream(ctx context.Context, l ocispec.Descriptor) (io.Reader, func(), error) {
	rc, err := m.next.Blob(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	z, err := scan.Decompress(rc, tree.Limits{})
	if err != nil {
		return nil, nil, errors.Join(err, rc.Close())
	}
	return z, func() { _, _ = z.Close(), rc.Close() }, nil // only read
}

// delta writes the delta of a layer in the artifact's format.
func (m *maker) delta(ctx context.Context, w io.Writer, i int, encoder string) (delta.Report, error) {
	l, x := m.next.Image.Manifest.Layers[i], m.next.Layers[i]
	z, done, err := m.stream(ctx, l)
	if err != nil {
		return delta.Report{}, err
	}
	defer done()
	t := delta.Target{Tar: z, TarSize: x.TarSize, Entries: x.Entries, Blob: l.Digest, BlobSize: l.Size,
		DiffID: m.next.Image.Config.RootFS.DiffIDs[i], Encoder: encoder}
	files := contents{m.old.Contents(ctx)}
	if m.format == Strata {
		return delta.Make(ctx, w, t, delta.Seed{Manifest: m.old.Image.Digest, Files: m.seed}, delta.Options{
			Contents: files, Scratch: m.tools.Scratch, Encoders: m.tools.Encoders, Trials: m.tools.Trials,
			Parallel: m.tools.Parallel, Memory: m.tools.Memory})
	}
	o := tardiff.Options{Version: tardiff.V1, Contents: files, Scratch: m.tools.Scratch}
	if m.format == TarDiff2 {
		o.Version = tardiff.V2
	}
	return tardiff.Make(ctx, w, t, m.seed, o)
}

// encoder finds out which encoder of this build makes a layer's blob of its tar stream; "" when none does.
func (m *maker) encoder(ctx context.Context, l ocispec.Descriptor) (string, error) {
	for _, f := range layer.Formats() {
		if f.Spec().MediaType != l.MediaType || f.Spec().Partial != toc.Told(l.Annotations) {
			continue
		}
		if m.next.Encoder != nil && m.next.Encoder(l.Digest) == f.Spec().Encoder.String() {
			return f.Spec().Encoder.String(), nil
		}
		same, err := m.again(ctx, l, f)
		if same || err != nil {
			return f.Spec().Encoder.String(), err
		}
	}
	return "", nil
}

// errDiffers ends an attempt at making a blob again.
var errDiffers = errors.New("other bytes")

// again reports whether a format makes the same blob. It ends at the first byte that differs.
func (m *maker) again(ctx context.Context, l ocispec.Descriptor, f layer.Format) (_ bool, err error) {
	z, done, err := m.stream(ctx, l)
	if err != nil {
		return false, err
	}
	defer done()
	rc, err := m.next.Blob(ctx, l)
	if err != nil {
		return false, err
	}
	defer rc.Close()
	same := &comparing{want: rc, buf: make([]byte, 64<<10)}
	blob, err := layer.Compress(ctx, same, z, f)
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil && blob.Size == l.Size, err
}

// comparing is written what a reader has.
type comparing struct {
	want io.Reader
	buf  []byte
}

func (c *comparing) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		part := p[n:min(len(p), n+len(c.buf))]
		got, err := io.ReadFull(c.want, c.buf[:len(part)])
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !bytes.Equal(c.buf[:got], part):
			return n, errDiffers
		case err != nil:
			return n, err
		}
		n += got
	}
	return n, nil
}
