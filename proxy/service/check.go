package service

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
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
)

// checkPatience is how long a pull that could be answered from the records waits for the upstream's word.
const checkPatience = 10 * time.Second

// checked is the outcome of asking the upstream: the tag's record as it stands, nil for a new tag, and the update that is on its way
// if the record does not show what the upstream has.
type checked struct {
	rec    *catalog.Tag
	update *update
}

// check finds out what a tag stands for: one HEAD, shared by everyone who waits, and none where somebody asked a moment ago.
func (s *Service) check(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (*checked, error) {
	key := tagKey(repo, tag)
	return shared(ctx, s, &s.checks, key, func(ctx context.Context) (*checked, error) {
		// Whoever waited for an earlier call has a new record now.
		rec, err := s.tag(ctx, repo, tag)
		if err != nil {
			return nil, err
		}
		if rec != nil && s.fresh(repo, rec, rule) && s.intact(ctx, repo, rec) {
			return &checked{rec: rec}, nil
		}
		if u := s.updateSince(key, s.Now().Add(-time.Duration(rule.Refresh))); u != nil {
			return &checked{rec, u}, nil
		}
		if err := s.outages.recall(s.Now(), repo.Host(), key, rec != nil); err != nil {
			return nil, err
		}
		if rec != nil {
			var fresh *catalog.Tag
			release, finished := s.turn(ctx, "check "+key, checkTurnPatience, func(ctx context.Context) bool {
				fresh, _ = s.tag(ctx, repo, tag)
				return fresh != nil && s.fresh(repo, fresh, rule) && s.intact(ctx, repo, fresh)
			})
			if finished {
				return &checked{rec: fresh}, nil
			}
			defer release()
		}
		return s.ask(ctx, repo, tag, rule, rec)
	})
}

// checkNow is check for those who want the upstream's word of now.
func (s *Service) checkNow(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (*checked, error) {
	return shared(ctx, s, &s.checks, "now "+tagKey(repo, tag), func(ctx context.Context) (*checked, error) {
		rec, err := s.tag(ctx, repo, tag)
		if err != nil {
			return nil, err
		}
		return s.ask(ctx, repo, tag, rule, rec)
	})
}

// ask asks the upstream. rec is what is known of the tag, or nil.
func (s *Service) ask(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule, rec *catalog.Tag) (*checked, error) {
	key := tagKey(repo, tag)
	d, err := s.head(ctx, repo, tag, rec != nil && s.intact(ctx, repo, rec))
	if err != nil {
		if s.ctx.Err() == nil {
			s.outages.note(s.Now(), repo.Host(), key, err)
			s.Logger.Log(ctx, askedLevel(err), "upstream could not be asked about a tag", "repository", repo.String(), "tag", string(tag),
				"known", rec != nil, "error", err)
		}
		return nil, err
	}
	s.outages.forget(repo.Host(), key)

	defer s.lockTag(ctx, key)()
	// An update may have ended while the upstream was asked.
	if rec, err = s.tag(ctx, repo, tag); err != nil {
		return nil, err
	}
	if rec == nil || !s.settled(rec, d.Digest, rule) || !s.intact(ctx, repo, rec) {
		u, err := s.startUpdate(repo, tag, rule, d, rec)
		return &checked{rec, u}, err
	}
	// A tag that moved and moved back is not to be moved by what was begun in between, nor does a failure of that count.
	s.supersede(key)
	if rec.Failure != nil && rec.Failure.Source != d.Digest {
		rec.Failure = nil
	}
	rec.CheckedAt = s.Now().UTC()
	if err := s.records.Tags.Put(ctx, tagOf(repo, tag), rec); err != nil {
		s.Logger.WarnContext(ctx, "tag's record could not be stored", "repository", repo.String(), "tag", string(tag), "error", err)
	}
	return &checked{rec: rec}, nil
}

// head asks for a tag's digest. With answerable, when there is something to show without the upstream, it does not wait for long.
func (s *Service) head(ctx context.Context, repo name.Repository, tag name.Reference, answerable bool) (client.Descriptor, error) {
	if !answerable {
		return s.Upstream.Head(ctx, repo, tag)
	}
	limited, stop := context.WithTimeout(ctx, checkPatience)
	defer stop()
	d, err := s.Upstream.Refresh(limited, repo, tag)
	if errors.Is(err, context.DeadlineExceeded) {
		err = registry.GatewayTimeout(repo.Host() + " does not answer in time").WithCause(err)
	}
	return d, err
}

// askedLevel is how loud a failed question is. One that was not even asked follows from failures that were told.
func askedLevel(err error) slog.Level {
	if errors.Is(err, upstream.ErrHeld) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// settled reports whether a tag's record is the answer to what the upstream has, at least until rechunking is to be tried again. A
// changed rechunk rule counts at once. Other settings count for the next version: to make this one anew would give hosts that have it
// the same content under another digest.
func (s *Service) settled(rec *catalog.Tag, source digest.Digest, rule config.Rule) bool {
	if rec.Rule != string(rule.Rechunk) {
		return false
	}
	if f := rec.Failure; f != nil && f.Source == source {
		return s.Now().Before(f.RetryAt)
	}
	return rec.SourceDigest == source
}
