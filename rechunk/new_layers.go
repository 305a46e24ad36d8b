package rechunk

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// layerMaker writes layers to the store and reads them back. Writers and readers have megabytes of buffers and are used
// again; there are as many of each as layers are to be written at once. While a layer is synced to disk or read back, the
// next one has its writer.
type layerMaker struct {
	*run
	writers *pool[layer.Writer]
	readers *pool[layer.Reader]
	// clients are the contents that those have who come from the image that the layout builds on; nil when there is none, or
	// when the format does not let them fetch less for it.
	clients map[tree.Digest]bool
}

// makeLayers makes the layers with the given numbers in that order, several at once, and tells done of each. The first error
// ends it.
func (r *run) makeLayers(ctx context.Context, numbers []int, done func(made madeLayer, i int)) error {
	f := r.req.Options.Format
	m := &layerMaker{
		run: r, clients: r.clientsHave(),
		writers: newPool(r.cfg.Parallel, f.NewWriter),
		readers: newPool(r.cfg.Parallel, func() (layer.Reader, error) { return f.NewReader(), nil }),
	}
	defer m.readers.close(layer.Reader.Close)
	return r.eachOf(ctx, 2*r.cfg.Parallel, numbers, func(ctx context.Context, i int) error {
		made, err := m.make(ctx, i)
		if err == nil {
			done(made, i)
		}
		return err
	})
}

// clientsHave lists the contents of the image that the layout builds on.
func (r *run) clientsHave() map[tree.Digest]bool {
	if !r.req.Options.Format.Spec().Partial || r.layout.Base < 0 {
		return nil
	}
	out := map[tree.Digest]bool{}
	for _, l := range r.images[r.layout.Base].Layers {
		for i := range l.Index.Entries {
			if e := &l.Index.Entries[i]; e.Kind == tree.Regular && e.Size > 0 {
				out[e.Digest] = true
			}
		}
	}
	return out
}

// make writes one layer to the store, reads it back from there and records what it holds.
func (m *layerMaker) make(ctx context.Context, i int) (madeLayer, error) {
	l := &m.layout.Layers[i]
	d, blob, err := m.store(ctx, i)
	if err != nil {
		return madeLayer{}, fmt.Errorf("storing layer %q: %w", l.Name, err)
	}
	var x *tree.Index
	var diffID digest.Digest
	if err := m.readers.use(ctx, func(z layer.Reader) error {
		x, diffID, err = m.readBack(ctx, z, d, blob)
		return err
	}); err != nil {
		return madeLayer{}, fmt.Errorf("reading layer %q back: %w", l.Name, err)
	}
	if err := m.saveIndex(ctx, d, x); err != nil {
		return madeLayer{}, err
	}
	if m.capsule != nil {
		if err := m.capsule.check(x); err != nil {
			return madeLayer{}, err
		}
		x = m.capsule.view(x)
		if i > 0 {
			blob.Annotations = componentNotes(m.owners, l.Entries)
		}
	}
	spec := m.req.Options.Format.Spec()
	if blob.Encoder != nil {
		spec.Encoder = *blob.Encoder
	}
	return madeLayer{VersionLayer: VersionLayer{
		Digest: d, DiffID: diffID, Size: blob.Size, TarSize: blob.TarSize, Type: spec.MediaType,
		Annotations: blob.Annotations,
		Encoder:     spec.Encoder.String(), Name: l.Name, Since: m.sequence(),
	}, content: contentOf(m.layoutTree(), x), why: blob.Why}, nil
}

// store writes one layer to the store.
func (m *layerMaker) store(ctx context.Context, i int) (d digest.Digest, blob layer.Blob, err error) {
	list, err := m.list(ctx, i)
	if err != nil {
		return "", blob, err
	}
	if m.clients != nil {
		list.PutLast(func(content tree.Digest) bool { return !m.clients[content] })
	}
	d, err = m.storeBlob(ctx, func(w io.Writer) error {
		return m.writers.use(ctx, func(z layer.Writer) (err error) {
			blob, err = z.Write(ctx, w, list)
			return err
		})
	})
	return d, blob, err
}

// list is what one layer holds.
func (m *layerMaker) list(ctx context.Context, i int) (*layer.List, error) {
	l, contents := &m.layout.Layers[i], m.contents.within(ctx)
	switch {
	case m.capsule == nil:
		return layer.NewList(m.tree, l.Entries, l.Whiteouts, contents)
	case i == 0:
		return m.capsule.commitList(contents)
	}
	return m.capsule.list(l.Entries, l.Whiteouts, contents)
}

// readBack reads a layer that was stored, and has its digest verified by the store.
func (m *layerMaker) readBack(ctx context.Context, z layer.Reader, d digest.Digest, blob layer.Blob) (*tree.Index,
	digest.Digest, error) {
	rc, err := m.cfg.Store.Open(ctx, d)
	if err != nil {
		return nil, "", err
	}
	defer rc.Close()
	return z.Read(ctx, rc, blob, m.cfg.Limits)
}
