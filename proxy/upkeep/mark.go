package upkeep

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
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

// rules are what a marking goes by.
type rules struct {
	policy Policy
	// evicted are versions that go although the policy would keep them.
	evicted map[digest.Digest]bool
	// condemned loses what any record leads to, whether it stays or not.
	condemned condemned
	progress  Progress
}

// marking is what is needed by the rules. Its memory grows with the manifests and with what goes, not with the content that
// they lead to: that lies sorted on disk.
type marking struct {
	*Keeper
	rules
	now       time.Time
	facts     map[hash]fact
	madeOf    map[hash][]hash // by source
	manifests map[hash]manifest
	sorting   *sorter[entry]
	sets      []*contentSet
	// late is what is found needed when all is settled.
	late map[hash]catalog.Use
	// gone are the versions that do not stay, going the records, by kind.
	gone  []RemovedVersion
	going []going
	// damaged are the vital records that could not be read, for people.
	damaged []string
}

// mark reads all records, refuses those that this build doesn't know, and finds what those lead to that stay. The caller
// closes the marking.
func (k *Keeper) mark(ctx context.Context, r rules) (*marking, error) {
	if err := catalog.CheckKinds(ctx, k.Chunks); err != nil {
		return nil, err
	}
	m := &marking{
		Keeper: k, rules: r, now: k.Now(), facts: map[hash]fact{}, manifests: map[hash]manifest{},
		madeOf:  map[hash][]hash{},
		late:    map[hash]catalog.Use{},
		sorting: newSorter(ctx, k.WorkDir, entryCodec()),
	}
	if err := m.readAll(ctx); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *marking) readAll(ctx context.Context) error {
	settled := false
	for _, kind := range catalog.Kinds() {
		var err error
		switch kind.Name {
		case catalog.KindManifest:
			err = m.readManifests(ctx, kind)
		case catalog.KindTag, catalog.KindRollout:
			err = m.readTags(ctx, kind)
		case catalog.KindLineage:
			err = m.readLineages(ctx, kind)
		default:
			// What the others belong to is settled by now.
			if !settled {
				settled, err = true, errors.Join(m.pulled(ctx), m.settle(ctx))
			}
			if err == nil {
				err = m.readOthers(ctx, kind)
			}
		}
		if err != nil {
			return err
		}
	}
	err := m.settle(ctx)
	if err == nil {
		m.sorting.abandon()
		m.sorting = nil
	}
	return err
}

// lineage marks the versions that stay.
func (m *marking) lineage(ctx context.Context, key string, versions []rechunk.Version) error {
	name, _, _ := rechunk.SplitLineageKey(key)
	rule := m.policy.retention(name)
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
		if err := m.version(v); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		for _, d := range v.SourceLayers {
			if err := m.add(d, indexed); err != nil {
				return err
			}
		}
	}
	return nil
}

// outdated says why a version goes, or nothing when it stays.
func (m *marking) outdated(ctx context.Context, rule Retention, i int, v *rechunk.Version) (string, error) {
	if i == 0 || m.tagged(v.Digest) {
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

// tagged reports whether a manifest belongs to what a tag stands for now.
func (m *marking) tagged(d digest.Digest) bool {
	h, ok := hashOf(d)
	return ok && m.manifests[h]&tagged != 0
}

// version marks a version by its record, which knows all that it consists of.
func (m *marking) version(v *rechunk.Version) error {
	if h, ok := hashOf(v.Digest); ok {
		m.manifests[h] |= stays
	}
	for _, t := range catalog.VersionLeads(v) {
		if err := m.add(t.Digest, t.Use); err != nil {
			return err
		}
	}
	return nil
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

// pulled marks what no tag and no lineage needs but hosts may come back for: images that were pulled by digest lately, and
// indexes all of whose images stay. The records of the other manifests go.
func (m *marking) pulled(ctx context.Context) error {
	superseded := map[hash]bool{} // sources of what was made here: nobody is told to pull them
	for _, f := range m.facts {
		if f.made {
			superseded[f.source] = true
		}
	}
	err := m.keepManifests(ctx, func(h hash, f fact, d digest.Digest) (bool, error) {
		stored := time.Time{}
		if !f.made && !superseded[h] {
			stored = f.modified
		}
		return m.recent(ctx, d, stored)
	})
	if err == nil {
		err = m.keepManifests(ctx, func(_ hash, f fact, d digest.Digest) (bool, error) {
			if !f.made {
				return false, nil
			}
			return m.wholeIndex(ctx, d)
		})
	}
	if err != nil {
		return err
	}
	for h, f := range m.facts {
		if m.manifests[h]&stays == 0 {
			d := h.digest(f.long)
			m.goes(going{kind: catalog.KindManifest, key: d.String(), modified: f.modified,
				owner: catalog.Owner{Manifest: d}, last: f.made})
		}
	}
	return nil
}

// keepManifests marks those manifests that are to stay, of those that do not yet and are not to be evicted.
func (m *marking) keepManifests(ctx context.Context, stay func(hash, fact, digest.Digest) (bool, error)) error {
	for h, f := range m.facts {
		d := h.digest(f.long)
		if m.manifests[h]&stays != 0 || m.evicted[d] {
			continue
		}
		ok, err := stay(h, f, d)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		of := catalog.OriginalLayer
		if f.made {
			of = catalog.ServedLayer
		}
		if err := m.lead(ctx, catalog.Leads{To: []catalog.Target{{Digest: d, Use: of, Image: true}}}, true); err != nil {
			return err
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
		if !m.made(c.Digest) {
			continue
		}
		if !m.stays(c.Digest) {
			return false, nil
		}
		made++
	}
	return made > 0, nil
}
