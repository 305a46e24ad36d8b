package service

import (
	"context"
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

// Jobs implements admin.Status.
func (o Operator) Jobs(context.Context) []admin.JobReport { return o.s.jobs.reports() }
