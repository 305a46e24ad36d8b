// Package tags decides what a tag stands for: it asks upstreams, has new versions made, and knows what to show when
// either fails.
package tags

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/keylock"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// Upstream says what tags stand for.
type Upstream interface {
	Head(ctx context.Context, repo name.Repository, ref name.Reference) (client.Descriptor, error)
	// Refresh is Head for a tag that can be answered without: it is not asked where the upstream is to be spared.
	Refresh(ctx context.Context, repo name.Repository, ref name.Reference) (client.Descriptor, error)
}

// Manifests have the manifests that tags lead to.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Stored returns a manifest that is stored with its record and that the repository may serve, or nil.
	Stored(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
	// Proven returns a stored manifest that the repository may serve.
	Proven(ctx context.Context, repo name.Repository, d digest.Digest) ([]byte, error)
	// Whole reports whether the store has all that was made for a manifest.
	Whole(ctx context.Context, mediaType string, manifest []byte) bool
}

// Maker makes served images.
type Maker interface {
	// Make may return both a result and an error, of an index.
	Make(ctx context.Context, r jobs.Request) (*jobs.Made, error)
}

// Losses know which repositories missed something.
type Losses interface {
	Since(repo name.Repository, t time.Time) bool
}

// Repositories list what was pulled through.
type Repositories interface {
	Enlist(ctx context.Context, repo name.Repository) error
}

// Refusals remember for operators the tags of which nothing is shown.
type Refusals interface {
	Note(ctx context.Context, tag catalog.TagKey, source digest.Digest, policy, reason string) error
	// Clear forgets a tag, under which something is shown now.
	Clear(ctx context.Context, tag catalog.TagKey) error
}

// Options are what Tags are made of; all are needed but for Leases, Beside and RecordAge.
type Options struct {
	Upstream  Upstream
	Manifests Manifests
	Maker     Maker
	Losses    Losses
	// Records keep what tags stand for.
	Records      *catalog.Table[catalog.TagKey, catalog.Tag]
	Repositories Repositories
	// Rollouts keep which versions of tags hosts get, and Reached which got one that not all get; nil: all get the newest.
	Rollouts Rollouts
	Reached  *catalog.Table[catalog.ReachedKey, catalog.Reached]
	// Returned tells which hosts that got versions were seen again; nil: nobody knows.
	Returned Returned
	// Metrics may be nil.
	Metrics Metrics
	// Guard checks signatures, and Refusals remember what it refuses; nil checks none.
	Guard    Guard
	Refusals Refusals
	// Rule returns the settings of a repository, "host/path", complete with all defaults.
	Rule func(repository string) config.Rule
	// Behind reports whether a registry's images come from another Strata, as they are there; nil: none do.
	Behind func(host string) bool
	Work   *background.Group
	// Leases let one of several replicas ask about a tag and change its record; nil says that there are no others.
	Leases *lease.Leases
	// Beside keeps other processes on this machine from a name until unlock; nil says that there are none.
	Beside func(ctx context.Context, name string) (unlock func(), err error)
	// RecordAge is how old a record may be, as another process may have changed it, when a client is answered by it.
	RecordAge time.Duration
	Logger    *slog.Logger
	Now       func() time.Time
}

// Tags resolve tags. They are safe for concurrent use.
type Tags struct {
	Options
	checks  *background.Shared[*checked]
	locks   keylock.Locks // held while a tag's record changes
	outages *outages
	aged    *aged
	looks   looks

	mu      sync.Mutex
	updates map[catalog.TagKey]*update // by tag: the one that may move it
}

// New makes tags.
func New(o Options) *Tags {
	if o.Guard == nil {
		o.Guard = unguarded{}
	}
	return &Tags{Options: o, checks: background.NewShared[*checked](o.Work, "check"), outages: newOutages(), aged: newAged(),
		updates: map[catalog.TagKey]*update{}}
}

// recordKey names a tag in records.
func recordKey(repo name.Repository, tag name.Reference) catalog.TagKey {
	return catalog.TagKey{Repository: repo.String(), Tag: string(tag)}
}

// updatePatience is how long a pull that can be answered waits for a new version before it gets the one before: enough
// to find one that another tag has brought already.
const updatePatience = 500 * time.Millisecond

// Resolve returns what a tag stands for now.
func (t *Tags) Resolve(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error) {
	m, err := t.resolve(ctx, repo, tag)
	if err == nil && m.Served != registry.Stale {
		t.aged.forget(recordKey(repo, tag))
	}
	return m, err
}

func (t *Tags) resolve(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error) {
	rule := t.Rule(repo.String())
	rec, err := t.recordWithin(ctx, repo, tag, t.RecordAge)
	if err != nil {
		return nil, err
	}
	if rec != nil && t.fresh(repo, rec, rule) {
		if m, err := t.given(ctx, repo, tag, rec, served(rec)); err == nil {
			return m, nil
		}
	}
	got, err := t.check(ctx, repo, tag, rule)
	if err != nil {
		return t.stale(ctx, repo, tag, rec, err)
	}
	if got.update == nil {
		return t.given(ctx, repo, tag, got.rec, served(got.rec))
	}
	return t.awaitUpdate(ctx, repo, rule, got)
}

// record returns a tag's record, or nil.
func (t *Tags) record(ctx context.Context, repo name.Repository, tag name.Reference) (*catalog.Tag, error) {
	return t.recordWithin(ctx, repo, tag, 0)
}

// recordWithin is record for those who may be answered from memory. One that is lost is what a roll-out says of the tag.
func (t *Tags) recordWithin(ctx context.Context, repo name.Repository, tag name.Reference, age time.Duration) (*catalog.Tag,
	error) {
	key := recordKey(repo, tag)
	rec, err := t.Records.GetWithin(ctx, key, age)
	if rec != nil || err != nil || t.Rollouts == nil {
		return rec, err
	}
	r, err := t.Rollouts.Get(ctx, key)
	if r == nil || err != nil {
		return nil, err
	}
	return recalled(r), nil
}

// served says what kind of answer a record stands for, now that it was checked.
func served(rec *catalog.Tag) registry.Served {
	switch {
	case behind(rec):
		return registry.Stale
	case rec.Served == catalog.Rechunked:
		return registry.Rechunked
	}
	return registry.Original
}

// behind reports whether the upstream has another image, which could not be had.
func behind(rec *catalog.Tag) bool {
	return rec.Failure != nil && rec.Failure.Source != rec.SourceDigest
}

// fresh reports whether a tag's record can be believed without asking the upstream.
func (t *Tags) fresh(repo name.Repository, rec *catalog.Tag, rule config.Rule) bool {
	age := t.Now().Sub(rec.CheckedAt)
	// A record from the future was written by a clock that was wrong, or is damaged.
	return age >= 0 && age < time.Duration(rule.Refresh) && rec.Rule == string(rule.Rechunk) &&
		t.trusted(repo, rec) && !t.Losses.Since(repo, rec.CheckedAt)
}

// intact reports whether what a tag's record leads to is stored: its manifest, and, where clients missed something
// since the record was written, all that a rechunked image refers to.
func (t *Tags) intact(ctx context.Context, repo name.Repository, rec *catalog.Tag) bool {
	b, err := t.Manifests.Proven(ctx, repo, rec.Digest)
	if err != nil {
		return false
	}
	if rec.Served != catalog.Rechunked || !t.Losses.Since(repo, rec.CheckedAt) {
		return true
	}
	return t.Manifests.Whole(ctx, rec.MediaType, b)
}

// stale answers with what was last known of a tag, when there is anything: an image that the upstream has lost is
// served on, too.
func (t *Tags) stale(ctx context.Context, repo name.Repository, tag name.Reference, rec *catalog.Tag,
	cause error) (*registry.Manifest, error) {
	if rec == nil || ctx.Err() != nil {
		return nil, cause
	}
	if !t.trusted(repo, rec) {
		err := t.admissible(ctx, repo, tag, rec)
		var said *registry.Error
		switch {
		case errors.As(err, &said) && said.Status == http.StatusForbidden:
			return nil, err // whose signature is missing says more than that nobody could be asked
		case err != nil:
			return nil, cause
		}
	}
	m, err := t.given(ctx, repo, tag, rec, registry.Stale)
	if err != nil {
		if t.staged(repo, tag, rec) {
			return nil, cause // the source that is stored may not be for this host
		}
		if m, err = t.Manifests.Stored(ctx, repo, rec.SourceDigest); m == nil || err != nil {
			return nil, cause
		}
		m.Served = registry.Stale
	}
	t.aged.note(recordKey(repo, tag), rec.CheckedAt, t.Now())
	t.Logger.DebugContext(ctx, "the last known version is served", "repository", repo.String(), "tag", string(tag), "error",
		cause)
	return m, nil
}

// admissible returns nil if the stored image of a record that nobody checked by today's policy, such as an imported one,
// passes by what is known of its signatures.
func (t *Tags) admissible(ctx context.Context, repo name.Repository, tag name.Reference, rec *catalog.Tag) error {
	m, err := t.Manifests.Stored(ctx, repo, rec.SourceDigest)
	if m == nil || err != nil {
		return errors.Join(errNotStored, err)
	}
	return t.Guard.Admit(ctx, repo, tag, m)
}

var errNotStored = errors.New("its manifest is not stored")

// show makes the answer that a tag's record stands for.
func (t *Tags) show(ctx context.Context, repo name.Repository, rec *catalog.Tag, as registry.Served) (*registry.Manifest,
	error) {
	if rec.Digest == rec.SourceDigest {
		m, err := t.Manifests.Get(ctx, repo, rec.Digest)
		if err != nil {
			return nil, err
		}
		shown := *m
		shown.Served = as
		return &shown, nil
	}
	b, err := t.Manifests.Proven(ctx, repo, rec.Digest)
	if err != nil {
		return nil, err
	}
	return &registry.Manifest{
		MediaType: rec.MediaType, Digest: rec.Digest, Bytes: b, Source: rec.SourceDigest, Served: as,
		Origin: registry.MadeHere,
	}, nil
}

// awaitUpdate answers while a new version is being made: with the one before if there is one, else as first_pull says.
// Whoever can't wait longer gets the original.
func (t *Tags) awaitUpdate(ctx context.Context, repo name.Repository, rule config.Rule, got *checked) (*registry.Manifest,
	error) {
	u, rec := got.update, got.rec
	previous := rec != nil && t.previous(ctx, repo, rule, rec, u)
	patience := time.Duration(rule.FirstPullTimeout)
	if previous || rule.FirstPull == config.FirstPullOriginal {
		patience = updatePatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-u.ended:
		m, err := t.updated(ctx, repo, u)
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, background.ErrClosed) && !previous && rule.FirstPull == config.FirstPullWait:
			// Its layers would be downloaded for nothing once the image is made: the client comes back.
			return nil, err
		case errors.Is(err, background.ErrClosed):
			// Whoever is waiting when the proxy ends is still answered.
		case rec != nil:
			return t.stale(ctx, repo, u.tag, rec, err)
		default:
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
	}
	if previous {
		return t.given(ctx, repo, u.tag, rec, served(rec))
	}
	if rec != nil && t.staged(repo, u.tag, rec) { // who waits gets the original of what is for this host
		return t.given(ctx, repo, u.tag, rec, registry.Original)
	}
	return t.original(ctx, repo, u, rec)
}

// original is the image that a tag is being moved to, as the upstream has it.
func (t *Tags) original(ctx context.Context, repo name.Repository, u *update, before *catalog.Tag) (*registry.Manifest,
	error) {
	m, err := t.Manifests.Get(ctx, repo, u.target.Digest)
	if err != nil {
		return nil, err
	}
	if err := t.admit(ctx, repo, u.tag, before, m); err != nil {
		return nil, err
	}
	return m, nil
}

// previous reports whether a client is to get what a tag stood for while an update runs: because that is good enough, or
// because nobody gets another version but by its roll-out.
func (t *Tags) previous(ctx context.Context, repo name.Repository, rule config.Rule, rec *catalog.Tag, u *update) bool {
	return rec.SourceDigest != u.target.Digest && t.staged(repo, u.tag, rec) || t.stopgap(ctx, repo, rule, rec, u)
}

// stopgap reports whether a tag's record is good enough to be shown while an update runs: a version before that was
// rechunked, or the original of which rechunking is tried once more.
func (t *Tags) stopgap(ctx context.Context, repo name.Repository, rule config.Rule, rec *catalog.Tag, u *update) bool {
	good := rec.SourceDigest == u.target.Digest
	if rec.Served == catalog.Rechunked {
		good = rule.Rechunk != config.RechunkNever
	}
	return good && t.trusted(repo, rec) && t.intact(ctx, repo, rec)
}

// updated makes the answer that an update led to.
func (t *Tags) updated(ctx context.Context, repo name.Repository, u *update) (*registry.Manifest, error) {
	if u.err != nil {
		return nil, u.err
	}
	m, err := t.given(ctx, repo, u.tag, u.rec, served(u.rec))
	if err == nil && m.Origin == registry.FromStore {
		m.Origin = u.origin
	}
	return m, err
}
