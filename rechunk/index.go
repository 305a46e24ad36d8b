package rechunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree"
)

// indexRecord leads from a layer's digest to its stored index, which is content like any other: too large for a record.
type indexRecord struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// loadIndex returns the stored index of a layer, or nil when there is none or when it is damaged: it can be made again.
func (e *Engine) loadIndex(ctx context.Context, layer digest.Digest) (*tree.Index, error) {
	var rec indexRecord
	if ok, err := e.getJSON(ctx, KindIndex, layer.String(), &rec); !ok || err != nil {
		return nil, err
	}
	rc, err := e.cfg.Store.Open(ctx, rec.Digest)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index of layer %s: %w", layer, err)
	}
	defer rc.Close()
	src := verifyBlob(rc, ocispec.Descriptor{Digest: rec.Digest, Size: rec.Size})
	x, err := tree.ReadIndex(src, e.cfg.Limits)
	if err == nil {
		_, err = io.Copy(io.Discard, src)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "layer index is damaged and made again", "layer", layer, "error", err)
		return nil, nil
	}
	return x, nil
}

func (e *Engine) saveIndex(ctx context.Context, layer digest.Digest, x *tree.Index) error {
	var b bytes.Buffer
	_, err := x.WriteTo(&b)
	rec := indexRecord{digest.FromBytes(b.Bytes()), int64(b.Len())}
	if err == nil {
		err = e.putBlob(ctx, rec.Digest, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("storing the index of layer %s: %w", layer, err)
	}
	return e.putJSON(ctx, KindIndex, layer.String(), rec)
}

// putBlob stores a document.
func (e *Engine) putBlob(ctx context.Context, d digest.Digest, b []byte) error {
	w, err := e.cfg.Store.Create(ctx)
	if err != nil {
		return err
	}
	if _, err = w.Write(b); err == nil {
		err = w.Commit(ctx, d, int64(len(b)))
	}
	if err != nil {
		return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	return nil
}
