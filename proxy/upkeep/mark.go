package upkeep

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// leastVersions of a lineage stay whatever their age: a host has the image it runs and the one before, to roll back to.
const leastVersions = 2

// Why a version goes.
const (
	beyondVersions = "beyond keep_versions"
	beyondDays     = "older than keep_days"
	forQuota       = "evicted for the quota"
)

// marking finds out what is needed.
type marking struct {
	*Keeper
	records *records
	needs   *needs
	policy  Policy
	now     time.Time
	// tagged are the manifests of the tags' current images and of their sources.
	tagged map[digest.Digest]bool
	// evicted are versions that go although the rules would keep them.
	evicted map[digest.Digest]bool
	// gone are the versions that do not stay.
	gone []RemovedVersion
}

// mark finds what the records lead to that stay, by the rules.
func (k *Keeper) mark(ctx context.Context, r *records, p Policy, evicted map[digest.Digest]bool) (*marking, error) {
	m := &marking{Keeper: k, records: r, needs: newNeeds(r), policy: p, now: k.Now(), evicted: evicted}
	for _, step := range []func(context.Context) error{m.tags, m.lineages, m.pulled} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	m.needs.layerIndexes()
	return m, nil
}

// markNow reads the records and finds what they lead to that stay.
func (k *Keeper) markNow(ctx context.Context, p Policy) (*marking, error) {
	r, err := k.readRecords(ctx, nil)
	if err != nil {
		return nil, err
	}
	return k.mark(ctx, r, p, nil)
}

// tags marks the tags' current images, and their sources: the next version often shares layers with them, and a layer that rots is made
// again from them.
func (m *marking) tags(ctx context.Context) error {
	for _, t := range m.records.tags {
		of := originalLayer
		if t.Digest != t.Source {
			of = servedLayer
			if err := m.image(ctx, m.needs, t.Source, sourceLayer, 0); err != nil {
				return err
			}
		}
		if err := m.image(ctx, m.needs, t.Digest, of, 0); err != nil {
			return err
		}
	}
	m.tagged = map[digest.Digest]bool{}
	for d := range m.needs.manifests {
		m.tagged[d] = true
	}
	return nil
}

// lineages marks the versions that stay.
func (m *marking) lineages(ctx context.Context) error {
	for key, versions := range m.records.lineages {
		lineage, _, _ := rechunk.SplitLineageKey(key)
		rule := m.policy.retention(lineage)
		for i := range versions {
			v := &versions[i]
			why, err := m.outdated(ctx, rule, i, v)
			if err != nil {
				return err
			}
			if why != "" {
				m.gone = append(m.gone, RemovedVersion{Lineage: key, Digest: v.Digest, Created: v.Created, Reason: why})
				continue
			}
			m.version(v)
			if i == 0 {
				for _, d := range v.SourceLayers {
					m.needs.sources[d] = true
				}
			}
		}
	}
	return nil
}

// outdated says why a version goes, or nothing when it stays.
func (m *marking) outdated(ctx context.Context, rule Retention, i int, v *rechunk.Version) (string, error) {
	if i == 0 || m.tagged[v.Digest] {
		return "", nil
	}
	if m.evicted[v.Digest] {
		return forQuota, nil
	}
	why := ""
	switch {
	case i >= max(rule.Versions, 1):
		why = beyondVersions
	case rule.Age > 0 && m.now.Sub(v.Created) > rule.Age && i >= leastVersions:
		why = beyondDays
	default:
		return "", nil
	}
	recent, err := m.recent(ctx, v.Digest, time.Time{})
	if recent || err != nil {
		return "", err
	}
	return why, nil
}

// version marks a version by its record, which knows all that it consists of.
func (m *marking) version(v *rechunk.Version) {
	m.needs.manifests[v.Digest] = true
	m.needs.add(v.Digest, document)
	m.needs.add(v.Config, document)
	for _, l := range v.Layers {
		m.needs.add(l.Digest, servedLayer)
	}
}

// recent reports whether a manifest was pulled, or, when that is not known, stored within KeepPulled.
func (m *marking) recent(ctx context.Context, d digest.Digest, stored time.Time) (bool, error) {
	last, err := m.LastPull(ctx, d)
	if err != nil {
		return false, err
	}
	if stored.After(last) {
		last = stored
	}
	return !last.IsZero() && m.now.Sub(last) < m.policy.KeepPulled, nil
}

// pulled marks what no tag and no lineage needs but hosts may come back for: images that were pulled by digest lately, and indexes all
// of whose images stay.
func (m *marking) pulled(ctx context.Context) error {
	superseded := map[digest.Digest]bool{} // sources of what was made here: nobody is told to pull them
	for _, rec := range m.records.manifests {
		if rec.Served == rechunked {
			superseded[rec.Source] = true
		}
	}
	for d, rec := range m.records.manifests {
		if m.needs.manifest(d) || m.evicted[d] {
			continue
		}
		of, stored := servedLayer, time.Time{}
		if rec.Served != rechunked {
			of = originalLayer
			if !superseded[d] {
				stored = rec.modified
			}
		}
		stay, err := m.recent(ctx, d, stored)
		if err == nil && !stay && rec.Served == rechunked {
			stay, err = m.wholeIndex(ctx, d)
		}
		if err != nil {
			return err
		}
		if stay {
			if err := m.image(ctx, m.needs, d, of, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// wholeIndex reports whether a manifest is an index with images that were made here, all of which stay.
func (m *marking) wholeIndex(ctx context.Context, d digest.Digest) (bool, error) {
	refs, err := m.references(ctx, d)
	if err != nil {
		return false, err
	}
	made := 0
	for _, c := range refs.Manifests {
		if m.records.manifests[c.Digest].Served != rechunked {
			continue
		}
		if !m.needs.manifest(c.Digest) {
			return false, nil
		}
		made++
	}
	return made > 0, nil
}

// everything marks what any record leads to, whether it stays or not.
func (k *Keeper) everything(ctx context.Context, r *records) (*needs, error) {
	m := &marking{Keeper: k, records: r, needs: newNeeds(r)}
	if err := m.tags(ctx); err != nil {
		return nil, err
	}
	for _, versions := range r.lineages {
		for i := range versions {
			m.version(&versions[i])
		}
	}
	for d := range r.manifests {
		if err := m.image(ctx, m.needs, d, document, 0); err != nil {
			return nil, err
		}
	}
	for layer, index := range r.indexes {
		m.needs.add(layer, document)
		m.needs.add(index, layerIndex)
	}
	for _, d := range r.served {
		if err := m.image(ctx, m.needs, d, document, 0); err != nil {
			return nil, err
		}
	}
	return m.needs, nil
}
