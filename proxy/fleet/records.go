package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unique"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

const (
	// flushEvery is how often what was seen is written.
	flushEvery = time.Minute
	// rounds is in how many of these all records are read again: other replicas write them, too.
	rounds = 5
	// flushTimeout bounds the last one, at the end of the process.
	flushTimeout = 5 * time.Second
	leaseTTL     = 15 * time.Second
	patience     = 2 * time.Second
	secretKey    = "secret"
	secretSize   = 32
)

func partKey(i int) string { return fmt.Sprintf("%02x", i) }

// Run reads what is known, and writes what is seen every minute until ctx ends and once more then.
func (f *Fleet) Run(ctx context.Context) {
	if f == nil {
		return
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	err := f.Load(ctx)
	for round := 0; ; round++ {
		if err != nil && ctx.Err() == nil {
			f.Logger.WarnContext(ctx, "what is known of hosts could not be read or written, and is tried again", "error",
				err)
		}
		select {
		case <-tick.C:
			err = f.Flush(ctx, round%rounds)
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer stop()
			_ = f.Flush(last, -1)
			return
		}
	}
}

// Load reads all that is known. Nobody is counted before.
func (f *Fleet) Load(ctx context.Context) error {
	if !f.Settings().Enabled() {
		return nil
	}
	secret, err := f.readSecret(ctx)
	if err != nil {
		return err
	}
	if err := f.list(ctx); err != nil {
		return err
	}
	for i := range parts {
		if err := f.join(ctx, i, false); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.secret, f.watching = secret, f.Now()
	f.mu.Unlock()
	return nil
}

// list reads the tags' records. A tag without one was pruned, unless it is new.
func (f *Fleet) list(ctx context.Context) error {
	began, there := f.Now(), map[string]bool{}
	err := f.Tags.Each(ctx, catalog.Prefix[catalog.TagKey]{}, func(key catalog.TagKey, rec *catalog.FleetTag) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if name := key.String(); len(there) < maxTags {
			there[name] = true
			f.merge(name, rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, t := range f.tags {
		if !t.dirty && !there[key] && t.at.Before(began) {
			f.forgetTag(key)
		}
	}
	f.listed = began
	return nil
}

// readSecret returns the secret, which is made where there is none.
func (f *Fleet) readSecret(ctx context.Context) ([]byte, error) {
	defer f.lease(ctx, secretKey)()
	rec, err := f.Hosts.Get(ctx, secretKey)
	if err != nil || rec != nil && len(rec.Secret) == secretSize {
		return secretOf(rec), err
	}
	rec = &catalog.Fleet{Secret: make([]byte, secretSize)}
	_, _ = rand.Read(rec.Secret) // ends the program rather than to fail
	if err := f.Hosts.Put(ctx, secretKey, rec); err != nil {
		return nil, fmt.Errorf("storing the secret by which hosts are named: %w", err)
	}
	return rec.Secret, nil
}

func secretOf(rec *catalog.Fleet) []byte {
	if rec == nil {
		return nil
	}
	return rec.Secret
}

// lease keeps others from a record, as far as leases reach.
func (f *Fleet) lease(ctx context.Context, key string) (release func()) {
	if f.Leases == nil {
		return func() {}
	}
	limited, stop := context.WithTimeout(ctx, patience)
	defer stop()
	l, err := f.Leases.Acquire(limited, "fleet "+key, leaseTTL)
	if err != nil {
		return func() {}
	}
	return l.Release
}

// Flush writes what was seen, and reads again those records whose turn it is, one in five by round; -1: none.
func (f *Fleet) Flush(ctx context.Context, round int) error {
	if !f.Settings().Enabled() {
		return nil
	}
	f.mu.Lock()
	unread := f.secret == nil
	f.mu.Unlock()
	if unread {
		return f.Load(ctx)
	}
	failed := []error{f.flushTags(ctx)}
	if round == 0 {
		failed = append(failed, f.list(ctx))
	}
	for i := range parts {
		f.mu.Lock()
		dirty := f.dirty[i]
		f.mu.Unlock()
		if dirty || i%rounds == round {
			failed = append(failed, f.join(ctx, i, dirty))
		}
	}
	if f.Metrics != nil {
		f.Metrics.Hosts(f.counts())
	}
	err := errors.Join(failed...)
	f.watch(err == nil)
	return err
}

// watch notes whether the store could be read and written. While it could not, hosts had no answers to be seen by.
func (f *Fleet) watch(well bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !well:
		f.watching = time.Time{}
	case f.watching.IsZero():
		f.watching = f.Now()
	}
}

// join joins what a record says with what is known, and writes both if something was seen.
func (f *Fleet) join(ctx context.Context, i int, write bool) error {
	if write {
		defer f.lease(ctx, partKey(i))()
	}
	rec, err := f.Hosts.Get(ctx, partKey(i))
	if err != nil {
		return err
	}
	f.mu.Lock()
	part := f.hosts[i]
	if rec != nil {
		for _, h := range rec.Hosts {
			adopt(part, h)
		}
	}
	f.expire(part)
	bound(part)
	out := catalog.Fleet{}
	for _, id := range slices.Sorted(maps.Keys(part)) {
		h := *part[id]
		h.Pulls = slices.Clone(h.Pulls)
		out.Hosts = append(out.Hosts, h)
	}
	if write {
		f.dirty[i] = false
	}
	f.mu.Unlock()
	if !write {
		return nil
	}
	if err := f.Hosts.Put(ctx, partKey(i), &out); err != nil {
		f.mu.Lock()
		f.dirty[i] = true
		f.mu.Unlock()
		return fmt.Errorf("storing what hosts got: %w", err)
	}
	return nil
}

// adopt joins a host of a record with what is known of it: of each tag what was seen last counts.
func adopt(part map[uint64]*catalog.FleetHost, from catalog.FleetHost) {
	h := part[from.ID]
	if h == nil {
		h = &catalog.FleetHost{ID: from.ID}
		part[from.ID] = h
	}
	if h.Client == "" || seen(&from) > seen(h) {
		h.Client = unique.Make(from.Client).Value()
	}
	for _, p := range from.Pulls {
		p.Tag = unique.Make(p.Tag).Value()
		p.Digest = digest.Digest(unique.Make(string(p.Digest)).Value())
		at := slices.IndexFunc(h.Pulls, func(o catalog.FleetPull) bool { return o.Tag == p.Tag })
		switch {
		case at < 0:
			h.Pulls = append(h.Pulls, p)
		case p.At > h.Pulls[at].At:
			if o := h.Pulls[at]; o.Digest == p.Digest { // who saw it later need not know since when it has it
				p.Since = min(p.Since, o.Since)
			}
			h.Pulls[at] = p
		}
	}
	h.Pulls = newest(h.Pulls)
}

// expire forgets what was not seen for too long, and what is of tags that are gone. Another replica may know tags that this
// one has not read of yet. The caller holds f.mu.
func (f *Fleet) expire(part map[uint64]*catalog.FleetHost) {
	limit := f.Now().Add(-time.Duration(f.Settings().Retention)).Unix()
	listed := f.listed.Add(-2 * rounds * flushEvery).Unix()
	for id, h := range part {
		h.Pulls = slices.DeleteFunc(h.Pulls, func(p catalog.FleetPull) bool {
			return p.At < limit || p.At < listed && f.tags[p.Tag] == nil
		})
		if len(h.Pulls) == 0 {
			delete(part, id)
		}
	}
}

// flushTags writes versions that hosts were first seen with, with what their images call themselves.
func (f *Fleet) flushTags(ctx context.Context) error {
	f.mu.Lock()
	var dirty []string
	for key, t := range f.tags {
		if t.dirty {
			dirty = append(dirty, key)
		}
	}
	f.mu.Unlock()
	slices.Sort(dirty)
	var failed []error
	for _, key := range dirty {
		failed = append(failed, f.flushTag(ctx, key))
	}
	return errors.Join(failed...)
}

func (f *Fleet) flushTag(ctx context.Context, name string) error {
	key, _ := catalog.ParseTagKey(name)
	defer f.lease(ctx, name)()
	rec, err := f.Tags.Get(ctx, key)
	if err != nil {
		return err
	}
	f.mu.Lock()
	t := f.merge(name, rec)
	if t == nil {
		f.mu.Unlock()
		return nil
	}
	out := catalog.FleetTag{Versions: slices.Clone(t.versions)}
	f.mu.Unlock()
	for i := range out.Versions {
		if v := &out.Versions[i]; v.Version == "" && f.Now().Sub(v.Since) < time.Hour {
			label := f.Label(ctx, key.Repository, v.Digest)
			v.Version = label[:min(len(label), catalog.MaxFleetLabel)]
		}
	}
	if err := f.Tags.Put(ctx, key, &out); err != nil {
		return fmt.Errorf("storing what hosts got under a tag: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t = f.merge(name, &out); t != nil {
		t.dirty = false
	}
	return nil
}

// merge joins a tag's record, which may be nil, with what is known; nil: there is no room for the tag. The caller holds
// f.mu.
func (f *Fleet) merge(key string, rec *catalog.FleetTag) *tag {
	t := f.tags[key]
	if t == nil {
		t = f.newTag(key, f.Now())
	}
	if t == nil || rec == nil {
		return t
	}
	for _, v := range rec.Versions {
		i := slices.IndexFunc(t.versions, func(o catalog.FleetVersion) bool { return o.Digest == v.Digest })
		switch {
		case i < 0:
			t.versions = append(t.versions, v)
		case t.versions[i].Version == "":
			t.versions[i].Version = v.Version
		}
		if i >= 0 && v.Since.Before(t.versions[i].Since) {
			t.versions[i].Since = v.Since
		}
		if i >= 0 && v.Again.After(t.versions[i].Again) {
			t.versions[i].Again = v.Again
		}
	}
	slices.SortStableFunc(t.versions, func(a, b catalog.FleetVersion) int {
		return cmp.Or(came(a).Compare(came(b)), cmp.Compare(a.Digest, b.Digest))
	})
	t.versions = t.versions[max(len(t.versions)-catalog.MaxFleetVersions, 0):]
	return t
}
