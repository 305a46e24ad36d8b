package tags

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

const (
	// checkPatience is how long a pull that could be answered from the records waits for the upstream's word.
	checkPatience = 10 * time.Second
	// replicaPatience is how long one waits for another replica that asks about the same tag.
	replicaPatience = time.Second
)

// checked is the outcome of asking the upstream: the tag's record as it stands, nil for a new tag, and the update that
// is on its way if the record does not show what the upstream has.
type checked struct {
	rec    *catalog.Tag
	update *update
}

// check finds out what a tag stands for: one HEAD, shared by everyone who waits, and none where somebody asked a moment ago.
func (t *Tags) check(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (_ *checked,
	err error) {
	key := recordKey(repo, tag)
	ctx, ended := tracing.Start(ctx, "tag check", "repository", repo, "tag", string(tag))
	defer func() { ended(err) }()
	return t.checks.Do(ctx, key.String(), func(ctx context.Context) (*checked, error) {
		// Whoever waited for an earlier call has a new record now.
		rec, err := t.record(ctx, repo, tag)
		if err != nil {
			return nil, err
		}
		if rec != nil && t.fresh(repo, rec, rule) && t.intact(ctx, repo, rec) {
			return &checked{rec: rec}, nil
		}
		if u := t.updateSince(key, t.Now().Add(-time.Duration(rule.Refresh))); u != nil {
			return &checked{rec, u}, nil
		}
		if err := t.outages.recall(t.Now(), repo.Host(), key.String(), rec != nil); err != nil {
			return nil, err
		}
		if rec != nil {
			var fresh *catalog.Tag
			release, finished := t.Leases.Turn(ctx, "check "+key.String(), leaseTTL, replicaPatience,
				func(ctx context.Context) bool {
					fresh, _ = t.record(ctx, repo, tag)
					return fresh != nil && t.fresh(repo, fresh, rule) && t.intact(ctx, repo, fresh)
				})
			if finished {
				return &checked{rec: fresh}, nil
			}
			defer release()
		}
		return t.ask(ctx, repo, tag, rule, rec)
	})
}

// checkNow is check for those who want the upstream's word of now.
func (t *Tags) checkNow(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (*checked, error) {
	return t.checks.Do(ctx, "now "+recordKey(repo, tag).String(), func(ctx context.Context) (*checked, error) {
		rec, err := t.record(ctx, repo, tag)
		if err != nil {
			return nil, err
		}
		return t.ask(ctx, repo, tag, rule, rec)
	})
}

// ask asks the upstream. rec is what is known of the tag, or nil.
func (t *Tags) ask(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule,
	rec *catalog.Tag) (*checked, error) {
	key := recordKey(repo, tag)
	d, err := t.head(ctx, repo, tag, rec != nil && t.intact(ctx, repo, rec))
	if err != nil {
		if ctx.Err() == nil {
			t.outages.note(t.Now(), repo.Host(), key.String(), err)
			t.Logger.Log(ctx, askedLevel(err, rec != nil), "upstream could not be asked about a tag", "repository",
				repo.String(), "tag", string(tag), "known", rec != nil, "error", err)
		}
		return nil, err
	}
	t.outages.forget(repo.Host(), key.String())

	defer t.lock(ctx, key)()
	// An update may have ended while the upstream was asked.
	if rec, err = t.record(ctx, repo, tag); err != nil {
		return nil, err
	}
	if rec == nil || !t.trusted(repo, rec) || !t.settled(rec, d.Digest, rule) || !t.intact(ctx, repo, rec) {
		u, err := t.startUpdate(ctx, repo, tag, rule, d, rec)
		return &checked{rec, u}, err
	}
	// A tag that moved and moved back is not to be moved by what was begun in between, nor does a failure of that count.
	t.supersede(key)
	if rec.Failure != nil && rec.Failure.Source != d.Digest {
		rec.Failure = nil
	}
	if d.Digest == rec.SourceDigest {
		rec.Released = "" // the upstream did not stay with what was released
	}
	rec.CheckedAt = t.Now().UTC()
	if err := t.Records.Put(ctx, key, rec); err != nil {
		t.Logger.WarnContext(ctx, "tag's record could not be stored", "repository", repo.String(), "tag", string(tag),
			"error", err)
	}
	return &checked{rec: rec}, nil
}

// head asks for a tag's digest. With answerable, when there is something to show without the upstream, it does not wait
// for long.
func (t *Tags) head(ctx context.Context, repo name.Repository, tag name.Reference, answerable bool) (client.Descriptor,
	error) {
	if !answerable {
		return t.Upstream.Head(ctx, repo, tag)
	}
	limited, stop := context.WithTimeout(ctx, checkPatience)
	defer stop()
	d, err := t.Upstream.Refresh(limited, repo, tag)
	if errors.Is(err, context.DeadlineExceeded) {
		err = registry.GatewayTimeout(repo.Host() + " does not answer in time").WithCause(err)
	}
	return d, err
}

// askedLevel is how loud a failed question is. That of a tag which nobody knows ends the client's request, which is where it
// is told, and one that was not even asked follows from failures that were. That a tag is not there is news where it was.
func askedLevel(err error, known bool) slog.Level {
	switch {
	case !known, errors.Is(err, upstream.ErrHeld):
		return slog.LevelDebug
	case upstream.Is(err, upstream.NotFound):
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// settled reports whether a tag's record is the answer to what the upstream has, at least until rechunking is to be
// tried again. A changed rechunk rule counts at once. Other settings count for the next version: to make this one anew
// would give hosts that have it the same content under another digest.
func (t *Tags) settled(rec *catalog.Tag, source digest.Digest, rule config.Rule) bool {
	if rec.Rule != string(rule.Rechunk) {
		return false
	}
	if f := rec.Failure; f != nil && f.Source == source {
		return t.Now().Before(f.RetryAt)
	}
	return rec.SourceDigest == source
}
