package pull

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

// ListSource has what upstreams list.
type ListSource interface {
	// Tags returns all tags of a repository.
	Tags(ctx context.Context, repo name.Repository) ([]string, error)
	// Referrers returns the index of what refers to a digest, and whether it was filtered by type.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool, error)
}

// SignedReferrers know what was signed here.
type SignedReferrers interface {
	// Referrers returns what was signed of a manifest that was made here, and what it was made of. ours is false for all
	// other manifests.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest) (signed []catalog.Referrer, source digest.Digest,
		ours bool, err error)
}

// Artifacts are the delta artifacts that were made here.
type Artifacts interface {
	// Referrers lists those that lead to an image.
	Referrers(ctx context.Context, repo name.Repository, d digest.Digest) ([]ocispec.Descriptor, error)
}

// ListOptions are what Lists are made of.
type ListOptions struct {
	Upstream ListSource
	// Signed may be nil: nothing is signed.
	Signed SignedReferrers
	// About answers for what refers to images while upstreams don't; nil: nothing does.
	About Known
	// Artifacts may be nil: no delta artifacts are made.
	Artifacts Artifacts
	// Pulled and Known have the tags and the repositories that were pulled through.
	Pulled *catalog.Table[catalog.TagKey, catalog.Tag]
	Known  *catalog.Table[string, catalog.Repository]
	// Rule returns the settings of a repository, "host/path".
	Rule   func(repository string) config.Rule
	Work   *background.Group
	Logger *slog.Logger
	Now    func() time.Time
}

// Lists are what clients can enumerate. They are safe for concurrent use.
type Lists struct {
	ListOptions
	asked *background.Shared[[]string]
	lists tagLists
}

var (
	_ registry.Listings  = (*Lists)(nil)
	_ registry.Referrers = (*Lists)(nil)
)

// NewLists returns lists.
func NewLists(o ListOptions) *Lists {
	return &Lists{ListOptions: o, asked: background.NewShared[[]string](o.Work, "tag list")}
}

// Tags implements registry.Listings: the upstream's tags, or, when it is out of reach, those that were pulled through.
func (l *Lists) Tags(ctx context.Context, repo name.Repository, p registry.Page) ([]string, bool, error) {
	tags, err := l.UpstreamTags(ctx, repo)
	if err != nil {
		known, kerr := l.pulledTags(ctx, repo)
		if kerr != nil || len(known) == 0 || upstream.Absent(err) {
			return nil, false, ClientError(err, registry.NameUnknown)
		}
		l.Logger.WarnContext(ctx, "upstream could not be asked, the known tags are listed", "repository", repo.String(),
			"error", err)
		tags = known
	}
	page, more := cut(tags, p)
	return page, more, nil
}

// UpstreamTags returns the upstream's tags, sorted, as new as refresh asks: clients read long lists in many small pages.
func (l *Lists) UpstreamTags(ctx context.Context, repo name.Repository) ([]string, error) {
	refresh := time.Duration(l.Rule(repo.String()).Refresh)
	if tags := l.lists.get(repo, l.Now().Add(-refresh)); tags != nil {
		return tags, nil
	}
	return l.asked.Do(ctx, repo.String(), func(ctx context.Context) ([]string, error) {
		tags, err := l.Upstream.Tags(ctx, repo)
		if err != nil {
			return nil, err
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		if refresh > 0 {
			l.lists.put(repo, tags, l.Now())
		}
		return tags, nil
	})
}

// Repositories implements registry.Listings.
func (l *Lists) Repositories(ctx context.Context, p registry.Page) ([]string, bool, error) {
	all, err := l.PulledRepositories(ctx)
	if err != nil {
		return nil, false, ClientError(err, registry.NameUnknown)
	}
	page, more := cut(all, p)
	return page, more, nil
}

// pulledTags returns the tags of a repository that were pulled through, sorted.
func (l *Lists) pulledTags(ctx context.Context, repo name.Repository) ([]string, error) {
	var out []string
	err := l.Pulled.List(ctx, catalog.TagsOf(repo.String()), func(key catalog.TagKey, _ time.Time) error {
		out = append(out, key.Tag)
		return nil
	})
	return out, err
}

// PulledRepositories returns the names of the repositories that were pulled through, sorted.
func (l *Lists) PulledRepositories(ctx context.Context) ([]string, error) {
	var out []string
	err := l.Known.List(ctx, catalog.Prefix[string]{}, func(key string, _ time.Time) error {
		out = append(out, key)
		return nil
	})
	return out, err
}

// cut returns one page of a sorted list.
func cut(all []string, p registry.Page) ([]string, bool) {
	if p.Last != "" {
		i, found := slices.BinarySearch(all, p.Last)
		if found {
			i++
		}
		all = all[i:]
	}
	if p.N < 0 || len(all) <= p.N {
		return slices.Clone(all), false
	}
	return slices.Clone(all[:p.N]), true
}
