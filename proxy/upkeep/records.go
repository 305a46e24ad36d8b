package upkeep

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// fact is what is remembered of a manifest's record while a run goes on.
type fact struct {
	source   hash
	modified time.Time
	made     bool // here
	// long is the digest where the hash does not tell it.
	long digest.Digest
}

// manifest is what is known of a manifest that stays.
type manifest uint8

const (
	stays manifest = 1 << iota
	// tagged: it belongs to a tag's current image or to its source.
	tagged
)

// going is a record that belongs to nothing that stays.
type going struct {
	kind, key string
	modified  time.Time
	owner     catalog.Owner
	last      bool // it goes after the others of its kind, because what becomes of those depends on it
}

// maxGoing bounds the records that one run removes; the next one goes on.
const maxGoing = 200_000

// scan reads the records of a kind. One of a newer schema ends it: nobody can say what that leads to.
func (m *marking) scan(ctx context.Context, kind catalog.Kind, fn func(catalog.Record) error) error {
	n := int64(0)
	err := catalog.Scan(ctx, m.Chunks, kind, func(r catalog.Record) error {
		n++
		switch {
		case r.Err == nil:
			return fn(r)
		case catalog.Newer(r.Err):
			return fmt.Errorf("the %s record %q: %w; a newer version of strata wrote it: use that one", kind.Name, r.Key,
				r.Err)
		}
		m.Logger.WarnContext(ctx, "record is damaged", "kind", kind.Name, "key", r.Key, "error", r.Err)
		if kind.Vital {
			m.damaged = append(m.damaged, fmt.Sprintf("%s %s", kind.Name, r.Key))
			return nil
		}
		m.goes(going{kind: kind.Name, key: r.Key, modified: r.Modified})
		return nil
	})
	if err == nil {
		m.progress.tell("mark", n, n)
	}
	return err
}

// goes notes a record that is not needed.
func (m *marking) goes(r going) {
	if len(m.going) < maxGoing {
		m.going = append(m.going, r)
	}
}

// needed reports whether what a record belongs to is needed, or that it belongs to nothing.
func (m *marking) needed(o catalog.Owner) (bool, error) {
	if o == (catalog.Owner{}) {
		return true, nil
	}
	if o.With != "" {
		if with, err := m.neededLayer(o.With); !with || err != nil {
			return false, err
		}
	}
	if m.stays(o.Manifest) {
		return true, nil
	}
	if source, ok := hashOf(o.Source); ok {
		staying := func(h hash) bool { return m.manifests[h]&stays != 0 }
		if m.stays(o.Source) || slices.ContainsFunc(m.madeOf[source], staying) {
			return true, nil
		}
	}
	u, err := m.use(o.Content)
	if u != 0 || err != nil {
		return u != 0, err
	}
	return m.neededLayer(o.Layer)
}

// neededLayer reports whether content is needed as a layer.
func (m *marking) neededLayer(d digest.Digest) (bool, error) {
	layer, ok := hashOf(d)
	if !ok {
		return false, nil
	}
	u, err := m.marked(layer)
	return u&(catalog.AnyLayer|indexed) != 0, err
}

// stays reports whether a manifest does.
func (m *marking) stays(d digest.Digest) bool {
	h, ok := hashOf(d)
	return ok && m.manifests[h]&stays != 0
}

// made reports whether an image was made here.
func (m *marking) made(d digest.Digest) bool {
	h, ok := hashOf(d)
	return ok && m.facts[h].made
}

// readManifests takes in what the records of manifests say.
func (m *marking) readManifests(ctx context.Context, kind catalog.Kind) error {
	return m.scan(ctx, kind, func(r catalog.Record) error {
		rec := r.Value.(*catalog.Manifest)
		h, ok := hashOf(digest.Digest(r.Key))
		if !ok {
			return nil
		}
		f := fact{long: h.short(digest.Digest(r.Key)), modified: r.Modified, made: rec.Served == catalog.Rechunked}
		f.source, _ = hashOf(rec.Source)
		m.facts[h] = f
		if f.made {
			m.madeOf[f.source] = append(m.madeOf[f.source], h)
		}
		return m.lead(ctx, r.Leads, false)
	})
}

// readTags marks what tags lead to, and what hosts get in place of it: all of it stays.
func (m *marking) readTags(ctx context.Context, kind catalog.Kind) error {
	err := m.scan(ctx, kind, func(r catalog.Record) error { return m.lead(ctx, r.Leads, true) })
	for h := range m.manifests {
		m.manifests[h] |= tagged
	}
	return err
}

// readLineages marks the versions that stay.
func (m *marking) readLineages(ctx context.Context, kind catalog.Kind) error {
	return m.scan(ctx, kind, func(r catalog.Record) error {
		if err := m.lead(ctx, r.Leads, false); err != nil {
			return err
		}
		return m.lineage(ctx, r.Key, r.Value.(*rechunk.Lineage).Versions)
	})
}

// readOthers marks what the records of a kind lead to whose owners stay, and notes the rest.
func (m *marking) readOthers(ctx context.Context, kind catalog.Kind) error {
	if kind.Retired {
		return m.Chunks.WalkRecords(ctx, kind.Name, func(key string, modified time.Time) error {
			m.goes(going{kind: kind.Name, key: key, modified: modified})
			return nil
		})
	}
	return m.scan(ctx, kind, func(r catalog.Record) error {
		stay, err := m.needed(r.Leads.Owner)
		if err != nil {
			return err
		}
		if !stay {
			m.goes(going{kind: kind.Name, key: r.Key, modified: r.Modified, owner: r.Leads.Owner})
		}
		return m.lead(ctx, r.Leads, stay)
	})
}
