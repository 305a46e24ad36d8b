package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Repository implements admin.Status. The name may be a repository's, host/path, one with a tag, host/path:tag, or that of a lineage,
// a family.
func (o Operator) Repository(ctx context.Context, what string) (*admin.RepositoryDetail, error) {
	s := o.s
	for _, find := range []func(context.Context, string) (*admin.RepositoryDetail, error){s.repositoryDetail, s.tagDetail, s.lineageDetail} {
		if d, err := find(ctx, what); d != nil || err != nil {
			return d, err
		}
	}
	return nil, fmt.Errorf("%w: %s was not pulled through this proxy", admin.ErrNotFound, what)
}

// known returns the repository of a name that was pulled through the proxy; false for any other.
func (s *Service) known(ctx context.Context, what string) (name.Repository, bool, error) {
	repo, err := s.Names.Repository(what, "")
	if err != nil {
		return repo, false, nil //nolint:nilerr // what is no name was not pulled
	}
	rec, err := s.records.Repositories.Get(ctx, repo.String())
	return repo, rec != nil, err
}

// repositoryDetail tells of a repository, with all versions of its family; nil when there is none of the name.
func (s *Service) repositoryDetail(ctx context.Context, what string) (*admin.RepositoryDetail, error) {
	repo, known, err := s.known(ctx, what)
	if !known || err != nil {
		return nil, err
	}
	tags, err := s.tagReports(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	return s.detail(ctx, repo.String(), s.rule(repo).Family, tags[repo.String()], func(rechunk.Version) bool { return true })
}

// tagDetail tells of a tag, with the versions that were made for it and those that it leads to; nil when there is none of the name.
func (s *Service) tagDetail(ctx context.Context, what string) (*admin.RepositoryDetail, error) {
	of, _ := catalog.ParseTagKey(what)
	repo, known, err := s.known(ctx, of.Repository)
	if !known || err != nil || of.Tag == "" {
		return nil, err
	}
	tags, err := s.tagReports(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	reports := slices.DeleteFunc(tags[repo.String()], func(t admin.TagReport) bool { return t.Tag != of.Tag })
	if len(reports) == 0 {
		return nil, nil
	}
	key := catalog.TagKey{Repository: repo.String(), Tag: of.Tag}.String()
	leads := s.leadsTo(ctx, digest.Digest(reports[0].Digest))
	return s.detail(ctx, key, s.rule(repo).Family, reports, func(v rechunk.Version) bool {
		return v.Reference == key || slices.Contains(leads, v.Digest)
	})
}

// lineageDetail tells of a family, with the tags of all its repositories; nil when there is none of the name.
func (s *Service) lineageDetail(ctx context.Context, family string) (*admin.RepositoryDetail, error) {
	if family == "" {
		return nil, nil
	}
	all, err := s.tagReports(ctx, "")
	if err != nil {
		return nil, err
	}
	var tags []admin.TagReport
	for repo, of := range all {
		if s.Rules.Rule(repo).Family != family {
			continue
		}
		for _, t := range of {
			t.Tag = repo + ":" + t.Tag
			tags = append(tags, t)
		}
	}
	slices.SortFunc(tags, func(a, b admin.TagReport) int { return strings.Compare(a.Tag, b.Tag) })
	d, err := s.detail(ctx, family, family, tags, func(rechunk.Version) bool { return true })
	if err != nil || len(d.History) == 0 {
		return nil, err
	}
	return d, nil
}

// leadsTo lists a manifest and, of an index, the images in it.
func (s *Service) leadsTo(ctx context.Context, d digest.Digest) []digest.Digest {
	out := []digest.Digest{d}
	b, err := s.manifestBytes(ctx, d)
	if err != nil {
		return out
	}
	if idx, err := image.ParseIndex(b); err == nil {
		for _, c := range idx.Images(nil) {
			out = append(out, c.Digest)
		}
	}
	return out
}

// detail tells of the versions of a family that are wanted.
func (s *Service) detail(ctx context.Context, what, family string, tags []admin.TagReport, wanted func(rechunk.Version) bool) (*admin.RepositoryDetail, error) {
	var versions []rechunk.Version
	reports := map[digest.Digest]admin.VersionReport{}
	var failed error
	err := s.walkLineages(ctx, family, func(_ string, of []rechunk.Version) {
		for _, series := range seriesOf(of) {
			if failed == nil {
				failed = s.reportSeries(ctx, series, reports)
			}
		}
		versions = append(versions, slices.DeleteFunc(of, func(v rechunk.Version) bool { return !wanted(v) })...)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(versions, func(a, b rechunk.Version) int { return b.Created.Compare(a.Created) })
	out := &admin.RepositoryDetail{RepositoryReport: repositoryReport(what, tags, versions)}
	for _, v := range versions {
		out.History = append(out.History, reports[v.Digest])
	}
	if len(versions) > 0 {
		out.LayersOf = versions[0].Digest.String()
		out.Layers, err = s.layerReports(ctx, versions[0], versions)
	}
	return out, err
}

// reportSeries adds reports of the versions of a series, newest first, with the lags of the clients that pulled them.
func (s *Service) reportSeries(ctx context.Context, series []rechunk.Version, reports map[digest.Digest]admin.VersionReport) error {
	pulled, err := s.pulled(ctx, series, len(series))
	if err != nil {
		return err
	}
	for i, v := range series {
		reports[v.Digest] = admin.VersionReport{
			SourceDigest: v.SourceDigest.String(), Digest: v.Digest.String(), Platform: v.Platform, Created: v.Created,
			LayersTotal: v.LayersTotal, LayersKept: v.LayersKept, LayersNew: v.LayersNew, NewBytes: v.NewBytes, TotalBytes: v.TotalBytes,
			StaleBytes: v.StaleBytes, Seconds: v.Seconds, Sequence: v.Sequence, Reference: v.Reference, LastPull: pulled[i].last,
			Pulls: pullCount(pulled[i].Lags),
		}
	}
	return nil
}

// pullCount rounds lags to tenths and leaves out the ones beyond the last.
func pullCount(l pulls.Lags) admin.PullCount {
	tenths := func(n float64) float64 { return math.Round(n*10) / 10 }
	out := admin.PullCount{Fresh: tenths(l.Fresh), Behind: []float64{}}
	last := 0
	for i, n := range l.Behind {
		if out.Behind = append(out.Behind, tenths(n)); tenths(n) > 0 {
			last = i + 1
		}
	}
	out.Behind = out.Behind[:last]
	return out
}

// layerReports tells of the layers of a version, with what its plan says of them.
func (s *Service) layerReports(ctx context.Context, v rechunk.Version, all []rechunk.Version) ([]admin.LayerReport, error) {
	planned, err := s.records.Plans.Get(ctx, v.Digest)
	if err != nil {
		return nil, err
	}
	if planned == nil {
		planned = &rechunk.PlanRecord{}
	}
	counts, err := s.tally.Counts(ctx, v.Digest)
	if err != nil {
		return nil, err
	}
	out := make([]admin.LayerReport, len(v.Layers))
	for i, l := range v.Layers {
		r := admin.LayerReport{
			Digest: l.Digest.String(), Size: l.Size, Name: l.Name, Age: v.Sequence - l.Since, Kept: l.Kept, Since: l.Since,
			Pulls: counts.Layers[l.Digest],
		}
		for _, old := range all {
			if old.Sequence == l.Since && old.Platform == v.Platform {
				r.MadeAt = old.Created
			}
		}
		for _, p := range planned.Layers {
			if p.Digest == l.Digest {
				r.StaleBytes, r.Heat = p.StaleBytes, p.Heat
				r.StaleShare = math.Round(1000*float64(p.StaleBytes)/float64(max(l.Size, 1))) / 1000
			}
		}
		out[i] = r
	}
	return out, nil
}
