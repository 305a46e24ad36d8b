package service

import (
	"context"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/catalog"
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
	var of catalog.Prefix[catalog.TagKey]
	if only != "" {
		of = catalog.TagsOf(only)
	}
	err := s.records.Tags.Each(ctx, of, func(key catalog.TagKey, rec *catalog.Tag) error {
		out[key.Repository] = append(out[key.Repository], admin.TagReport{
			Tag: key.Tag, SourceDigest: rec.SourceDigest.String(), Digest: rec.Digest.String(), Served: string(shown(rec)),
			CheckedAt: rec.CheckedAt, UpdatedAt: rec.UpdatedAt,
		})
		return nil
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
