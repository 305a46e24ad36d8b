package operate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// Repository returns one repository, or ErrNotFound. The name may be a repository's, host/path, one with a tag,
// host/path:tag, or that of a lineage, a family.
func (v *View) Repository(ctx context.Context, what string) (*RepositoryDetail, error) {

	for _, find := range []func(context.Context, string) (*RepositoryDetail, error){v.repositoryDetail, v.tagDetail,
		v.lineageDetail} {
		if d, err := find(ctx, what); d != nil || err != nil {
			return d, err
		}
	}
	return nil, fmt.Errorf("%w: %s was not pulled through this proxy", ErrNotFound, what)
}

// known returns the repository of a name that was pulled through the proxy; false for any other.
func (v *View) known(ctx context.Context, what string) (name.Repository, bool, error) {
	repo, err := v.Names.Repository(what, "")
	if err != nil {
		return repo, false, nil //nolint:nilerr // what is no name was not pulled
	}
	rec, err := v.Known.Get(ctx, repo.String())
	return repo, rec != nil, err
}

// repositoryDetail tells of a repository, with all versions of its family; nil when there is none of the name.
func (v *View) repositoryDetail(ctx context.Context, what string) (*RepositoryDetail, error) {
	repo, known, err := v.known(ctx, what)
	if !known || err != nil {
		return nil, err
	}
	tags, err := v.tags(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	return v.detail(ctx, repo.String(), v.Rule(repo.String()).Family, tags[repo.String()],
		func(rechunk.Version) bool { return true })
}

// tagDetail tells of a tag, with the versions that were made for it and those that it leads to; nil when there is none
// of the name.
func (v *View) tagDetail(ctx context.Context, what string) (*RepositoryDetail, error) {
	k, _ := catalog.ParseTagKey(what)
	repo, known, err := v.known(ctx, k.Repository)
	if !known || err != nil || k.Tag == "" {
		return nil, err
	}
	tags, err := v.tags(ctx, repo.String())
	if err != nil {
		return nil, err
	}
	reports := slices.DeleteFunc(tags[repo.String()], func(t TagReport) bool { return t.Tag != k.Tag })
	if len(reports) == 0 {
		return nil, nil
	}
	key := repo.String() + ":" + k.Tag
	leads := v.leadsTo(ctx, digest.Digest(reports[0].Digest))
	return v.detail(ctx, key, v.Rule(repo.String()).Family, reports, func(v rechunk.Version) bool {
		return v.Reference == key || slices.Contains(leads, v.Digest)
	})
}

// lineageDetail tells of a family, with the tags of all its repositories; nil when there is none of the name.
func (v *View) lineageDetail(ctx context.Context, family string) (*RepositoryDetail, error) {
	if family == "" {
		return nil, nil
	}
	all, err := v.tags(ctx, "")
	if err != nil {
		return nil, err
	}
	var tags []TagReport
	for repo, of := range all {
		if v.Rule(repo).Family != family {
			continue
		}
		for _, t := range of {
			t.Tag = repo + ":" + t.Tag
			tags = append(tags, t)
		}
	}
	slices.SortFunc(tags, func(a, b TagReport) int { return strings.Compare(a.Tag, b.Tag) })
	d, err := v.detail(ctx, family, family, tags, func(rechunk.Version) bool { return true })
	if err != nil || len(d.History) == 0 {
		return nil, err
	}
	return d, nil
}

// leadsTo lists a manifest and, of an index, the images in it.
func (v *View) leadsTo(ctx context.Context, d digest.Digest) []digest.Digest {
	out := []digest.Digest{d}
	b, err := v.Manifests.Bytes(ctx, d)
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
func (v *View) detail(ctx context.Context, what, family string, tags []TagReport,
	wanted func(rechunk.Version) bool) (*RepositoryDetail, error) {
	var versions []rechunk.Version
	reports := map[digest.Digest]VersionReport{}
	err := v.History.Walk(ctx, family, func(_ string, of []rechunk.Version) error {
		for _, series := range history.Series(of) {
			if err := v.reportSeries(ctx, series, reports); err != nil {
				return err
			}
		}
		versions = append(versions, slices.DeleteFunc(of, func(v rechunk.Version) bool { return !wanted(v) })...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(versions, func(a, b rechunk.Version) int { return b.Created.Compare(a.Created) })
	out := &RepositoryDetail{RepositoryReport: v.repositoryReport(what, tags, history.LineageOf(versions))}
	for _, v := range versions {
		out.History = append(out.History, reports[v.Digest])
	}
	if len(versions) > 0 {
		out.LayersOf = versions[0].Digest.String()
		var planned *rechunk.PlanRecord
		if out.Layers, planned, err = v.layers(ctx, versions[0], versions); planned != nil {
			out.Notes, out.NoiseKept = planned.Notes, planned.NoiseKept
		}
	}
	return out, err
}

// reportSeries adds reports of the versions of a series, newest first, with the lags of the clients that pulled them.
func (v *View) reportSeries(ctx context.Context, series []rechunk.Version, reports map[digest.Digest]VersionReport) error {
	pulled, err := v.History.Pulled(ctx, series, len(series))
	if err != nil {
		return err
	}
	for i, of := range series {
		reports[of.Digest] = v.versionReport(ctx, of, pulled[i])
	}
	return nil
}

func (v *View) versionReport(ctx context.Context, of rechunk.Version, pulled history.Pulled) VersionReport {
	repository, _ := catalog.ParseTagKey(of.Reference)
	return VersionReport{
		SourceDigest: of.SourceDigest.String(), Digest: of.Digest.String(), Platform: of.Platform, Created: of.Created,
		Version:     v.label(ctx, repository.Repository, of.Digest.String()),
		LayersTotal: of.LayersTotal, LayersKept: of.LayersKept, LayersNew: of.LayersNew, NewBytes: of.NewBytes,
		TotalBytes: of.TotalBytes, StaleBytes: of.StaleBytes, NoiseKept: of.NoiseKept, Seconds: of.Seconds,
		UnkeptBytes: of.UnkeptBytes,
		Sequence:    of.Sequence, Reference: of.Reference, LastPull: pulled.Last, Pulls: pullCount(pulled.Lags),
	}
}

// pullCount rounds lags to tenths and leaves out the ones beyond the last.
func pullCount(l pulls.Lags) PullCount {
	tenths := func(n float64) float64 { return math.Round(n*10) / 10 }
	out := PullCount{Fresh: tenths(l.Fresh), Behind: []float64{}}
	last := 0
	for i, n := range l.Behind {
		if out.Behind = append(out.Behind, tenths(n)); tenths(n) > 0 {
			last = i + 1
		}
	}
	out.Behind = out.Behind[:last]
	return out
}

// layers tells of the layers of a version, with what its plan says of them, and of that plan; nil where its record is lost.
func (v *View) layers(ctx context.Context, of rechunk.Version, all []rechunk.Version) ([]LayerReport, *rechunk.PlanRecord,
	error) {
	planned, err := v.Plans.Get(ctx, of.Digest)
	if err != nil {
		return nil, nil, err
	}
	pulled, err := v.History.Pulled(ctx, []rechunk.Version{of}, 1)
	if err != nil {
		return nil, nil, err
	}
	out := make([]LayerReport, len(of.Layers))
	for i, l := range of.Layers {
		r := LayerReport{
			Digest: l.Digest.String(), Size: l.Size, Name: l.Name, Age: of.Sequence - l.Since, Kept: l.Kept, Since: l.Since,
			Pulls: pulled[0].Layers[l.Digest],
		}
		for _, old := range all {
			if old.Sequence == l.Since && old.Platform == of.Platform {
				r.MadeAt = old.Created
			}
		}
		r.addPlanned(planned)
		out[i] = r
	}
	return out, planned, nil
}

// addPlanned adds what a plan says of a layer.
func (r *LayerReport) addPlanned(planned *rechunk.PlanRecord) {
	if planned == nil {
		return
	}
	for _, p := range planned.Layers {
		if p.Digest.String() == r.Digest {
			r.StaleBytes, r.Heat, r.Reason, r.MovedBytes = p.StaleBytes, p.Heat, p.Reason, p.MovedBytes
			r.StaleShare = math.Round(1000*float64(p.StaleBytes)/float64(max(r.Size, 1))) / 1000
		}
	}
}
