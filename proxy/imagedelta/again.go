package imagedelta

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// patched writes the tar stream that a delta makes.
func (p *applier) patched(ctx context.Context, w io.Writer, i int, from ocidelta.Layer) error {
	rc, err := p.open(ctx, from.Blob)
	if err != nil {
		return err
	}
	defer rc.Close()
	files := contents{p.old.Contents(ctx)}
	if from.Blob.MediaType == tardiff.MediaType {
		_, err := tardiff.Apply(ctx, w, rc, tardiff.NewFiles(p.old.Tree, files), tardiff.ApplyOptions{})
		return err
	}
	d, err := delta.Open(rc, delta.Limits{})
	if err != nil {
		return err
	}
	if h := d.Header(); h.Blob != from.To || h.DiffID != p.target.Config.RootFS.DiffIDs[i] {
		return fmt.Errorf("%w: its delta is for the layer %s", ErrWrong, h.Blob)
	}
	return d.Apply(ctx, w, delta.ApplyOptions{Contents: files, Scratch: p.tools.Scratch, Encoders: p.tools.Encoders,
		Parallel: p.tools.Parallel})
}

// unpacked writes the tar stream of a layer.
func unpacked(ctx context.Context, w io.Writer, open Open, d ocispec.Descriptor) error {
	rc, err := open(ctx, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	z, err := scan.Decompress(rc, tree.Limits{})
	if err != nil {
		return err
	}
	defer z.Close()
	_, err = io.Copy(w, z)
	return err
}

// again makes a layer's blob of its tar stream, which write writes, and stores it under the digest that it has.
func (p *applier) again(ctx context.Context, i int, encoder string, out AppliedLayer, write func(io.Writer) error) (
	_ AppliedLayer, err error) {
	f, err := p.tools.Scratch.Create()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	l := p.target.Manifest.Layers[i]
	blob, diff := sha256.New(), sha256.New()
	err = compressed(ctx, io.MultiWriter(f, blob), p.compression(l, encoder), func(w io.Writer) error {
		return write(io.MultiWriter(w, diff))
	})
	if err != nil {
		return out, err
	}
	want := p.target.Config.RootFS.DiffIDs[i]
	if got := digest.NewDigest(digest.SHA256, diff); got != want {
		return out, fmt.Errorf("%w: its tar stream has the digest %s, not %s", ErrWrong, got, want)
	}
	out.Digest, out.Size = digest.NewDigest(digest.SHA256, blob), f.Size()
	out.Exact = out.Digest == out.Target
	return out, p.sink.PutBlob(ctx, ocispec.Descriptor{MediaType: l.MediaType, Digest: out.Digest, Size: out.Size},
		io.NewSectionReader(f, 0, f.Size()))
}

// compression is the format that makes a layer's blob of its tar stream, or, where that is not known, the one that its media
// type names; nil is none.
func (p *applier) compression(l ocispec.Descriptor, encoder string) layer.Format {
	if f, ok := layer.EncoderNamed(encoder); ok {
		return f
	}
	switch {
	case strings.HasSuffix(l.MediaType, "zstd"):
		return layer.Zstd
	case strings.HasSuffix(l.MediaType, "gzip"):
		return layer.Gzip
	}
	return nil
}

// compressed has write write a tar stream, and compresses it on the way; a nil format does not.
func compressed(ctx context.Context, w io.Writer, f layer.Format, write func(io.Writer) error) error {
	if f == nil {
		return write(w)
	}
	r, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := rescue.Call(func() error { return write(pw) })
		_ = pw.CloseWithError(err) // never fails
		done <- err
	}()
	_, err := layer.Compress(ctx, w, r, f)
	_ = r.CloseWithError(err) // never fails
	if werr := <-done; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return werr
	}
	return err
}

// renamed is a manifest with the blobs that were made. All else stays as it is.
func renamed(raw []byte, layers []AppliedLayer) ([]byte, error) {
	var document map[string]json.RawMessage
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := json.Unmarshal(document["layers"], &list); err != nil || len(list) != len(layers) {
		return nil, errors.Join(errors.New("manifest: its layers are not those that were made"), err)
	}
	for i, l := range layers {
		if l.Exact {
			continue
		}
		list[i]["digest"] = json.RawMessage(`"` + l.Digest.String() + `"`)
		list[i]["size"] = fmt.Append(nil, l.Size)
	}
	var err error
	if document["layers"], err = json.Marshal(list); err != nil {
		return nil, err
	}
	return json.Marshal(document)
}

// Inexact lists the layers that were not made byte for byte.
func (a *Applied) Inexact() []digest.Digest {
	var out []digest.Digest
	for _, l := range a.Layers {
		if !l.Exact && !slices.Contains(out, l.Target) {
			out = append(out, l.Target)
		}
	}
	return out
}
