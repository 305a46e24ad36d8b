package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
)

// Operator is the service as operators see it. It is safe for concurrent use.
type Operator struct{ s *Service }

// Operator returns the service as operators see it.
func (s *Service) Operator() Operator { return Operator{s} }

var (
	_ admin.Status = Operator{}
	_ admin.Warmer = Operator{}
)

// storeSizeFor is how long a measured size of the store is told again: measuring walks all of it.
const storeSizeFor = 30 * time.Second

// storeSize remembers the size of the store.
type storeSize struct {
	mu    sync.Mutex
	at    time.Time
	bytes int64
}

func (z *storeSize) get(ctx context.Context, s *Service) (int64, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.at.IsZero() && s.Now().Sub(z.at) < storeSizeFor {
		return z.bytes, nil
	}
	var total int64
	err := s.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		total += i.Size
		return nil
	})
	if err == nil {
		z.at, z.bytes = s.Now(), total
	}
	return total, err
}

// Status implements admin.Status.
func (o Operator) Status(ctx context.Context) (admin.StatusReport, error) {
	s := o.s
	out := admin.StatusReport{
		Version: s.Version, StartedAt: s.started.UTC(), UptimeSeconds: s.Now().Sub(s.started).Seconds(), Jobs: s.jobs.counts(),
		Store: admin.StoreReport{Driver: s.Storage.Driver, Location: s.Storage.Location},
	}
	err := s.Chunks.WalkRecords(ctx, kindRepository, func(string, time.Time) error {
		out.Repositories++
		return nil
	})
	if err != nil {
		return out, err
	}
	served := map[digest.Digest]int64{}
	err = s.Chunks.WalkRecords(ctx, rechunk.KindLineage, func(key string, _ time.Time) error {
		var l rechunk.Lineage
		if _, err := s.getRecord(ctx, rechunk.KindLineage, key, &l); err != nil {
			return err
		}
		out.Versions += len(l.Versions)
		update, saved := updates(l.Versions)
		out.UpdateBytes, out.UpdateBytesSaved = out.UpdateBytes+update, out.UpdateBytesSaved+saved
		for _, v := range l.Versions {
			for _, layer := range v.Layers {
				served[layer.Digest] = layer.Size
			}
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for _, n := range served {
		out.Store.ServedBytes += n
	}
	out.Store.TotalBytes, err = s.size.get(ctx, s)
	out.Store.SourceBytes = max(out.Store.TotalBytes-out.Store.ServedBytes, 0)
	return out, err
}

// updates adds up what the updates between versions cost, and what the source images' would have cost beyond that.
func updates(versions []rechunk.Version) (bytes, saved int64) {
	for _, v := range versions {
		if v.Sequence > 1 {
			bytes += v.NewBytes
			saved += v.SourceNewBytes - v.NewBytes
		}
	}
	return bytes, max(saved, 0)
}

// Repositories implements admin.Status.
func (o Operator) Repositories(ctx context.Context) ([]admin.RepositoryReport, error) {
	s := o.s
	tags := map[string][]admin.TagReport{}
	err := s.Chunks.WalkRecords(ctx, kindTag, func(key string, _ time.Time) error {
		i := strings.LastIndexByte(key, ':')
		if i < 0 {
			return nil
		}
		t, err := s.tagReport(ctx, key, key[i+1:])
		if err == nil && t != nil {
			tags[key[:i]] = append(tags[key[:i]], *t)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []admin.RepositoryReport
	for repo, list := range tags {
		versions, err := s.versions(ctx, repo)
		if err != nil {
			return nil, err
		}
		out = append(out, repositoryReport(repo, list, versions))
	}
	slices.SortFunc(out, func(a, b admin.RepositoryReport) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *Service) tagReport(ctx context.Context, key, tag string) (*admin.TagReport, error) {
	var rec tagRecord
	if ok, err := s.getRecord(ctx, kindTag, key, &rec); !ok || err != nil {
		return nil, err
	}
	return &admin.TagReport{
		Tag: tag, SourceDigest: rec.SourceDigest.String(), Digest: rec.Digest.String(), Served: string(rec.Served),
		CheckedAt: rec.CheckedAt, UpdatedAt: rec.UpdatedAt,
	}, nil
}

// versions returns the lineages of a repository on all platforms, each newest first.
func (s *Service) versions(ctx context.Context, repo string) ([]rechunk.Version, error) {
	rule := s.Rules.Rule(repo)
	var out []rechunk.Version
	for _, p := range rule.Platforms {
		v, err := s.engine.LineageOf(ctx, rule.Family, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v...)
	}
	return out, nil
}

func repositoryReport(repo string, tags []admin.TagReport, versions []rechunk.Version) admin.RepositoryReport {
	out := admin.RepositoryReport{Name: repo, Tags: tags, Versions: len(versions)}
	out.UpdateBytes, out.UpdateBytesSaved = updates(versions)
	for _, t := range tags {
		if t.UpdatedAt.After(out.UpdatedAt) {
			out.UpdatedAt = t.UpdatedAt
		}
	}
	return out
}

// Repository implements admin.Status.
func (o Operator) Repository(ctx context.Context, repository string) (*admin.RepositoryDetail, error) {
	s := o.s
	repo, _, err := s.Names.ParseReference(repository)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	known, err := s.knownTags(ctx, repo)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%w: %s was not pulled through this proxy", admin.ErrNotFound, repo)
	}
	var tags []admin.TagReport
	for _, t := range known {
		r, err := s.tagReport(ctx, tagKey(repo, name.Reference(t)), t)
		if err != nil {
			return nil, err
		}
		if r != nil {
			tags = append(tags, *r)
		}
	}
	versions, err := s.versions(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	out := &admin.RepositoryDetail{RepositoryReport: repositoryReport(repo.String(), tags, versions)}
	for i, v := range versions {
		out.History = append(out.History, versionReport(v))
		if i == 0 {
			out.Layers = layerReports(v)
		}
	}
	return out, nil
}

func versionReport(v rechunk.Version) admin.VersionReport {
	return admin.VersionReport{
		SourceDigest: v.SourceDigest.String(), Digest: v.Digest.String(), Platform: v.Platform, Created: v.Created, LayersTotal: v.LayersTotal,
		LayersKept: v.LayersKept, LayersNew: v.LayersNew, NewBytes: v.NewBytes, TotalBytes: v.TotalBytes, StaleBytes: v.StaleBytes,
		Seconds: v.Seconds,
	}
}

func layerReports(v rechunk.Version) []admin.LayerReport {
	out := make([]admin.LayerReport, len(v.Layers))
	for i, l := range v.Layers {
		out[i] = admin.LayerReport{Digest: l.Digest.String(), Size: l.Size, Name: l.Name, Age: v.Sequence - l.Since, Kept: l.Kept}
	}
	return out
}

// Jobs implements admin.Status.
func (o Operator) Jobs(context.Context) []admin.JobReport { return o.s.jobs.reports() }
