package upkeep

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/rechunk/image"
)

// indexed marks layers of source images whose indexes are worth keeping although the layers may go.
const indexed catalog.Use = 1 << 7

// follow calls visit with a target and, where that is an image, with all that it refers to. made tells which images were
// made here.
func (k *Keeper) follow(ctx context.Context, t catalog.Target, made func(digest.Digest) bool,
	visit func(catalog.Target) error) error {
	if !t.Image {
		return visit(t)
	}
	return k.followImage(ctx, t.Digest, t.Use, 0, made, visit)
}

func (k *Keeper) followImage(ctx context.Context, d digest.Digest, layers catalog.Use, level int,
	made func(digest.Digest) bool, visit func(catalog.Target) error) error {
	if err := visit(catalog.Target{Digest: d, Use: catalog.Document, Image: true}); err != nil {
		return err
	}
	refs, err := k.references(ctx, d)
	if err != nil {
		return err
	}
	for _, c := range refs.Manifests {
		of := layers
		if made(c.Digest) {
			of = catalog.ServedLayer
		}
		if level < image.MaxDepth {
			if err := k.followImage(ctx, c.Digest, of, level+1, made, visit); err != nil {
				return err
			}
		}
	}
	if refs.Config != nil {
		err = visit(catalog.Target{Digest: refs.Config.Digest, Use: catalog.Document})
	}
	for _, l := range slices.Concat(refs.Layers, refs.Foreign) {
		if err == nil {
			err = visit(catalog.Target{Digest: l.Digest, Use: layers})
		}
	}
	return err
}

// references reads a manifest. One that is missing or damaged refers to nothing: it cannot be served.
func (k *Keeper) references(ctx context.Context, d digest.Digest) (oci.References, error) {
	b, err := k.Chunks.Get(ctx, d, image.MaxDocument)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt),
		errors.Is(err, chunkstore.ErrTooLarge),
		errors.Is(err, chunkstore.ErrInvalid):
		return oci.References{}, nil
	case err != nil:
		return oci.References{}, err
	}
	doc, err := oci.Parse("", b)
	if err != nil {
		return oci.References{}, nil
	}
	return doc.References(), nil
}

// lead takes in what a record leads to: it is no longer condemned, and is needed where the record stays.
func (m *marking) lead(ctx context.Context, l catalog.Leads, stay bool) error {
	if !stay && len(m.condemned) == 0 {
		return nil
	}
	delete(m.condemned, l.Owner.Layer)
	for _, t := range l.To {
		err := m.follow(ctx, t, m.made, func(t catalog.Target) error {
			delete(m.condemned, t.Digest)
			if !stay {
				return nil
			}
			if h, ok := hashOf(t.Digest); ok && t.Image {
				m.manifests[h] |= stays
			}
			return m.add(t.Digest, t.Use)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// add marks content. What is no digest names nothing that could be stored.
func (m *marking) add(d digest.Digest, u catalog.Use) error {
	h, ok := hashOf(d)
	if !ok {
		return nil
	}
	if m.sorting == nil {
		m.late[h] |= u
		return nil
	}
	return m.sorting.add(entry{h, u})
}

// settle makes what was marked so far ready to be asked for, and begins anew.
func (m *marking) settle(ctx context.Context) error {
	set, err := newContentSet(m.WorkDir, m.sorting)
	if err != nil {
		return err
	}
	m.sets = append(m.sets, set)
	m.sorting = newSorter(ctx, m.WorkDir, entryCodec())
	return nil
}

// marked returns what content is there for, as far as it is settled, and whether it is indexed.
func (m *marking) marked(h hash) (u catalog.Use, err error) {
	for _, s := range m.sets {
		of, err := s.use(h)
		if err != nil {
			return 0, err
		}
		u |= of
	}
	return u | m.late[h], nil
}

// use returns what content is there for, 0 for what is not needed.
func (m *marking) use(d digest.Digest) (catalog.Use, error) {
	h, ok := hashOf(d)
	if !ok {
		return 0, nil
	}
	return m.useOf(h)
}

func (m *marking) useOf(h hash) (catalog.Use, error) {
	u, err := m.marked(h)
	return u &^ indexed, err
}

// close frees the files.
func (m *marking) close() {
	if m.sorting != nil {
		m.sorting.abandon()
	}
	for _, s := range m.sets {
		if err := s.Close(); err != nil {
			m.Logger.Warn("a temporary file could not be closed", "error", err)
		}
	}
}
