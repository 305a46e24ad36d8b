package rechunk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// IndexRecord is the record of kind KindIndex. It leads from a layer's digest to its stored index, which is content like any
// other: too large for a record.
type IndexRecord struct {
	// Digest and Size, in bytes, are the index's.
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// loadIndex returns the stored index of a layer, or nil when there is none or when it is damaged: it can be made again. One
// for which the budget has no room is an error that wraps tree.ErrLimit.
func (e *Engine) loadIndex(ctx context.Context, layer digest.Digest, b *tree.Budget) (*tree.Index, error) {
	var rec IndexRecord
	if ok, err := e.getJSON(ctx, KindIndex, layer.String(), &rec); !ok || err != nil {
		return nil, err
	}
	if rec.Digest.Validate() != nil {
		e.cfg.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", KindIndex, "key", layer)
		return nil, nil
	}
	rc, err := e.cfg.Store.Open(ctx, rec.Digest)
	if errors.Is(err, ErrNotFound) {
		e.cfg.Logger.WarnContext(ctx, "layer index is lost and made again", "layer", layer)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index of layer %s: %w", layer, err)
	}
	defer rc.Close()
	x, err := b.ReadIndex(rc)
	if err == nil {
		_, err = io.Copy(io.Discard, rc) // the end is where damage shows
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, tree.ErrLimit) {
		return nil, fmt.Errorf("index of layer %s: %w", layer, err)
	}
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "layer index is damaged and made again", "layer", layer, "error", err)
		return nil, nil
	}
	return x, nil
}

// saveIndex stores the index of a layer.
func (e *Engine) saveIndex(ctx context.Context, layer digest.Digest, x *tree.Index) error {
	var rec IndexRecord
	var err error
	rec.Digest, err = e.storeBlob(ctx, func(w io.Writer) (err error) {
		rec.Size, err = x.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing the index of layer %s: %w", layer, err)
	}
	return e.putJSON(ctx, KindIndex, layer.String(), rec)
}

// storeDocument stores a manifest or config.
func (e *Engine) storeDocument(ctx context.Context, b []byte) error {
	_, err := e.storeBlob(ctx, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	return err
}

// storeBlob stores what write writes and returns its digest.
func (e *Engine) storeBlob(ctx context.Context, write func(io.Writer) error) (d digest.Digest, err error) {
	w, err := e.cfg.Store.Create(ctx)
	if err != nil {
		return "", err
	}
	committed := false
	defer func() {
		if !committed { // also after a panic
			d, err = "", errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
		}
	}()
	if err = write(w); err == nil {
		d, err = w.Commit(ctx)
	}
	committed = err == nil
	return d, err
}
