package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/rechunk/image"
)

// ErrRefused marks images that are not shown: they are not signed as their rule asks.
var ErrRefused = verify.ErrRefused

// An image that does not pass is checked again, since a signature may come after its image: after a minute at first, then
// ever later.
const (
	firstRetry = time.Minute
	lastRetry  = 10 * time.Minute
	maxReason  = 2048
)

// unusable stands for a policy whose files cannot be read: no record has it, so that nothing passes.
const unusable = "unusable"

// Manifests have manifests by digest.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// Metrics count verdicts.
type Metrics interface {
	// Verified counts an image that was checked.
	Verified(passed bool)
}

// GuardOptions are what a Guard is made of; all are needed but Known.
type GuardOptions struct {
	// Rule returns the settings of a repository, "host/path".
	Rule      func(repository string) config.Rule
	Upstream  verify.Source
	Manifests Manifests
	Verdicts  *catalog.Table[catalog.ContentKey, catalog.Verdict]
	// Known keeps the signatures of what passed; nil: nobody does.
	Known *Known
	// RecordAge is how old a verdict's record may be; 0 asks the store.
	RecordAge time.Duration
	Metrics   Metrics
	Work      *background.Group
	Logger    *slog.Logger
	Now       func() time.Time
}

// Guard says which images may be shown. It is safe for concurrent use.
type Guard struct {
	GuardOptions
	policies *policies
	checks   *background.Shared[*catalog.Verdict]
	// documents are manifests that have an image's config, by repository and digest, and whether they hold text only.
	documents *lru.Cache[string, bool]
}

// NewGuard makes a guard.
func NewGuard(o GuardOptions) *Guard {
	documents, _ := lru.New[string, bool](maxDocuments) // fails for sizes below 1 only
	return &Guard{
		documents:    documents,
		GuardOptions: o, policies: newPolicies(o.Logger, o.Now),
		checks: background.NewShared[*catalog.Verdict](o.Work, "verify"),
	}
}

// Policy names what the images of a repository are checked by; "" says that they are not. It changes when keys do.
func (g *Guard) Policy(repository string) string {
	p, err := g.policies.of(g.Rule(repository).Verify)
	switch {
	case err != nil:
		return unusable
	case p == nil:
		return ""
	}
	return p.fingerprint
}

// CheckRules returns an error when the files cannot be used that some rules name.
func CheckRules(rules []config.Rule) error {
	p := newPolicies(slog.New(slog.DiscardHandler), time.Now)
	for _, r := range rules {
		if _, err := p.of(r.Verify); err != nil {
			return fmt.Errorf("%s: %w", r.Match, err)
		}
	}
	return nil
}

// Admit returns nil for an image that may be shown, or that no rule asks a signature of. tag is the one that it was asked
// for by, or empty. An error that wraps ErrRefused is for clients, and says whose signature is missing; others say that it
// could not be found out.
func (g *Guard) Admit(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) error {
	p, err := g.policies.of(g.Rule(repo.String()).Verify)
	if err != nil {
		return registry.Unavailable("the keys that images of this repository are checked by cannot be read",
			0).WithCause(err)
	}
	if p == nil {
		return nil
	}
	if about, err := g.aboutImages(ctx, repo, tag, m); about || err != nil {
		return err
	}
	source, err := g.source(ctx, repo, m)
	if err != nil {
		return err
	}
	key := catalog.ContentKey{Repository: repo.String(), Digest: source}
	rec, err := g.Verdicts.GetWithin(ctx, key, g.RecordAge)
	if err != nil {
		return err
	}
	if rec = g.standing(key.Repository, rec, p); rec == nil {
		rec, err = g.checks.Do(ctx, key.String()+" "+p.fingerprint,
			func(ctx context.Context) (*catalog.Verdict, error) { return g.check(ctx, key, repo, m, p) })
		if err != nil {
			return err
		}
	}
	if rec.Passed && !fits(rec, string(tag)) {
		if m, err = g.original(ctx, key, repo, m); err != nil {
			return err
		}
		rec, err = g.checks.Do(ctx, key.String()+" "+p.fingerprint+" "+string(tag),
			func(ctx context.Context) (*catalog.Verdict, error) {
				return g.underTag(ctx, repo, tag, m, rec.Claims, p)
			})
		if err != nil {
			return err
		}
	}
	if rec.Passed {
		return nil
	}
	return refusal(rec.Reason)
}

// Signature returns nil where the signatures under cosign's tag of a digest suffice by themselves, or no rule asks for any.
// An error that wraps ErrRefused says why they do not; others say that it could not be found out.
func (g *Guard) Signature(ctx context.Context, repo name.Repository, of digest.Digest) error {
	p, err := g.policies.of(g.Rule(repo.String()).Verify)
	if p == nil || err != nil {
		return err
	}
	checker := verify.Checker{Source: g.Upstream}
	return checker.Tagged(ctx, repo, of, &p.Policy)
}

// source returns the digest whose signature speaks for a manifest: its own, or that of what it was made of. Of a delta
// artifact, which leads to an image, it is the image's.
func (g *Guard) source(ctx context.Context, repo name.Repository, m *registry.Manifest) (digest.Digest, error) {
	if m.Source == "" || m.Claimed || m.Source == m.Digest {
		return m.Digest, nil
	}
	if m.Origin == registry.MadeHere {
		return m.Source, nil
	}
	target, err := g.Manifests.Get(ctx, repo, m.Source)
	if err != nil {
		return "", fmt.Errorf("fetching the image that an artifact leads to: %w", err)
	}
	if target.Origin != registry.MadeHere || target.Claimed || target.Source == "" {
		return target.Digest, nil
	}
	return target.Source, nil
}

// underTag looks for a signature that fits a tag, where the one that was found names another. The verdict is on image and
// tag, and not recorded: the image is good. While the upstream cannot be asked for one, there is none.
func (g *Guard) underTag(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest, claims string,
	p *policy) (*catalog.Verdict, error) {
	_, err := g.search(ctx, repo, tag, m, p)
	switch {
	case err == nil:
		return &catalog.Verdict{Passed: true}, nil
	case errors.Is(err, ErrRefused):
		return &catalog.Verdict{Reason: err.Error()}, nil
	case unreachable(ctx, err):
		return &catalog.Verdict{Reason: fmt.Sprintf("%s: it needs a signature by %s for the tag %s; the one that is known "+
			"is for another, %s, and %s cannot be asked for more now", ErrRefused, p.Wants(), tag, claims, repo.Host())}, nil
	}
	return nil, err
}

// search looks for signatures, and keeps what it saw of an image that passes.
func (g *Guard) search(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest,
	p *policy) (*verify.Verdict, error) {
	seen := newWitness(g.Upstream, repo)
	checker := verify.Checker{Source: seen}
	found, err := checker.Check(ctx, verify.Image{
		Repository: repo, Tag: string(tag), MediaType: m.MediaType, Digest: m.Digest, Bytes: m.Bytes,
	}, &p.Policy)
	if err != nil || g.Known == nil {
		return found, err
	}
	g.Known.keep(ctx, seen, m.Digest)
	for part := range found.Parts {
		g.Known.keep(ctx, seen, part)
	}
	return found, nil
}

// original returns the source of an image that is to be shown.
func (g *Guard) original(ctx context.Context, key catalog.ContentKey, repo name.Repository,
	m *registry.Manifest) (*registry.Manifest, error) {
	if m.Digest == key.Digest {
		return m, nil
	}
	m, err := g.Manifests.Get(ctx, repo, key.Digest)
	if err != nil {
		return nil, fmt.Errorf("fetching the source, whose signature is to be checked: %w", err)
	}
	return m, nil
}

// refusal is what clients are told.
func refusal(reason string) error {
	return registry.DeniedByPolicy("the image is refused: " + reason).WithCause(ErrRefused)
}

// check reaches a verdict and records it.
func (g *Guard) check(ctx context.Context, key catalog.ContentKey, repo name.Repository, m *registry.Manifest,
	p *policy) (*catalog.Verdict, error) {
	before, err := g.Verdicts.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if stands := g.standing(key.Repository, before, p); stands != nil {
		return stands, nil // another check has ended since
	}
	if before != nil && before.Via != "" && before.Via != key.Digest {
		// The index that vouched for it is asked first: what it says now it says of all its images.
		if rec, err := g.again(ctx, key, repo, before.Via, p); rec != nil || err != nil {
			return rec, err
		}
	}
	if m, err = g.original(ctx, key, repo, m); err != nil {
		return nil, err
	}
	rec := &catalog.Verdict{Policy: p.fingerprint, CheckedAt: g.Now().UTC()}
	found, err := g.search(ctx, repo, "", m, p)
	switch {
	case err == nil:
		pass(rec, key.Repository, p, found)
	case errors.Is(err, ErrRefused):
		rec.Reason = err.Error()[:min(len(err.Error()), maxReason)]
		g.postpone(rec, before)
	case unreachable(ctx, err) && before != nil && before.Policy == p.fingerprint:
		return before, nil // it was refused, and nobody says that it has been signed since
	default:
		return nil, err
	}
	return g.record(ctx, key, repo, m, p, rec, found)
}

// record records a verdict. An index's comes after those on its images: once it stands they are not reached again. A refusal
// does not take the place of what an index has vouched for meanwhile, and keeps what passed by another policy beside it.
func (g *Guard) record(ctx context.Context, key catalog.ContentKey, repo name.Repository, m *registry.Manifest, p *policy,
	rec *catalog.Verdict, found *verify.Verdict) (*catalog.Verdict, error) {
	if rec.Passed && image.IsIndex(m.MediaType) {
		if err := g.vouch(ctx, repo, m, p, rec, found); err != nil {
			return nil, err
		}
	}
	if !rec.Passed {
		now, err := g.Verdicts.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("reading the verdict again: %w", err)
		}
		if stands := g.standing(key.Repository, now, p); stands != nil && stands.Passed {
			return stands, nil
		}
		if rec.Was = now.LastPassed(); now != nil {
			rec.Via = now.Via // the index may vouch for it again
		}
	}
	g.tell(ctx, key, rec)
	if err := g.Verdicts.Put(ctx, key, rec); err != nil {
		return nil, fmt.Errorf("recording the verdict: %w", err)
	}
	return rec, nil
}

// postpone says when an image that did not pass is checked again.
func (g *Guard) postpone(rec, before *catalog.Verdict) {
	rec.Tries = 1
	if before != nil && before.Policy == rec.Policy && !before.Passed {
		rec.Tries = before.Tries + 1
	}
	rec.RetryAt = g.Now().Add(min(firstRetry<<min(rec.Tries-1, 10), lastRetry)).UTC()
}

func (g *Guard) tell(ctx context.Context, key catalog.ContentKey, rec *catalog.Verdict) {
	g.Metrics.Verified(rec.Passed)
	log := g.Logger.With("repository", key.Repository, "digest", key.Digest.String())
	if rec.Passed {
		log.InfoContext(ctx, "image is signed as configured", "by", rec.By, "found", rec.How)
		return
	}
	log.WarnContext(ctx, "image is refused", "reason", rec.Reason, "retry_at", rec.RetryAt)
}

// Passed reports whether an image is signed as its repository's rule asks now. Nobody is asked, unless the verdict on it was
// reached by another policy, or is lost.
func (g *Guard) Passed(ctx context.Context, repo name.Repository, source digest.Digest) (bool, error) {
	p, err := g.policies.of(g.Rule(repo.String()).Verify)
	if p == nil || err != nil {
		return false, nil //nolint:nilerr // while the keys cannot be read nothing passes, and pulls tell why
	}
	rec, err := g.Verdicts.GetWithin(ctx, catalog.ContentKey{Repository: repo.String(), Digest: source}, g.RecordAge)
	if err != nil {
		return false, err
	}
	if stands := g.standing(repo.String(), rec, p); stands != nil {
		return stands.Passed, nil
	}
	if rec != nil && rec.Policy == p.fingerprint { // a refusal, which pulls look at again
		return false, nil
	}
	m, err := g.Manifests.Get(ctx, repo, source)
	if err == nil {
		err = g.Admit(ctx, repo, "", m)
	}
	if errors.Is(err, ErrRefused) {
		return false, nil
	}
	return err == nil, err
}

// Covers reports whether a signature is of a digest, by its own name or by that of a signed index: not an index that
// passed because its images are signed, which anybody can write. It asks nobody.
func (g *Guard) Covers(ctx context.Context, repo name.Repository, source digest.Digest) (bool, error) {
	rec, err := g.Verdicts.Get(ctx, catalog.ContentKey{Repository: repo.String(), Digest: source})
	if err != nil {
		return false, err
	}
	if p, perr := g.policies.of(g.Rule(repo.String()).Verify); p != nil && perr == nil && rec != nil && !rec.Passed {
		rec = g.standing(repo.String(), rec, p)
	}
	return rec != nil && rec.Passed && rec.How != string(verify.ByParts), nil
}
