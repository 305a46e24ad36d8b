package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/rechunk"
)

// Repositories implements admin.Status.
func (o Operator) Repositories(ctx context.Context) ([]admin.RepositoryReport, error) {
	s := o.s
	names, err := s.repositories(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := s.tagReports(ctx, "")
	if err != nil {
		return nil, err
	}
	versions := map[string][]rechunk.Version{}
	err = s.walkLineages(ctx, "", func(family string, of []rechunk.Version) { versions[family] = append(versions[family], of...) })
	if err != nil {
		return nil, err
	}
	out := make([]admin.RepositoryReport, len(names))
	for i, repo := range names {
		out[i] = repositoryReport(repo, tags[repo], versions[s.Rules.Rule(repo).Family])
	}
	return out, nil
}

// tagReports reads the records of the tags of one repository, or of all where that is empty, by repository.
func (s *Service) tagReports(ctx context.Context, only string) (map[string][]admin.TagReport, error) {
	out := map[string][]admin.TagReport{}
	err := s.Chunks.WalkRecords(ctx, kindTag, func(key string, _ time.Time) error {
		repo, tag := splitTagKey(key)
		if repo == "" || only != "" && repo != only {
			return nil
		}
		var rec tagRecord
		known, err := s.getRecord(ctx, kindTag, key, &rec)
		if known && err == nil {
			out[repo] = append(out[repo], admin.TagReport{
				Tag: tag, SourceDigest: rec.SourceDigest.String(), Digest: rec.Digest.String(), Served: string(rec.served()),
				CheckedAt: rec.CheckedAt, UpdatedAt: rec.UpdatedAt,
			})
		}
		return err
	})
	return out, err
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
	repo, err := s.Names.Repository(repository, "")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	var rec repositoryRecord
	known, err := s.getRecord(ctx, kindRepository, repo.String(), &rec)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("%w: %s was not pulled through this proxy", admin.ErrNotFound, repo)
	}
	tags, err := s.tagReports(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	var versions []rechunk.Version
	err = s.walkLineages(ctx, s.rule(repo).Family, func(_ string, of []rechunk.Version) { versions = append(versions, of...) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(versions, func(a, b rechunk.Version) int { return b.Created.Compare(a.Created) })
	out := &admin.RepositoryDetail{RepositoryReport: repositoryReport(repo.String(), tags[repo.String()], versions)}
	for _, v := range versions {
		out.History = append(out.History, versionReport(v))
	}
	if len(versions) > 0 {
		out.Layers = layerReports(versions[0])
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
