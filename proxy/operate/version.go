package operate

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/rechunk"
)

// VersionDetail tells all that is known of an image that was made here.
type VersionDetail struct {
	VersionReport
	// Family is the lineage's name: a repository's, or that of a rule.
	Family string
	// SourceBytes are the source image's layers, SourceNewBytes those that the one before in the lineage did not have.
	SourceBytes, SourceNewBytes int64
	// Layers are lowest first.
	Layers []LayerReport
	// Base is the image that the layout builds on; empty when it was planned as new. Dropped are the layers of it that were
	// not kept, Notes what the planner says. All are empty where the plan's record is lost.
	Base    string
	Dropped []rechunk.PlanDropped
	Notes   []string
	// NoiseKept are the files that stayed as they were served before (noise: keep).
	NoiseKept []rechunk.KeptFile
	// Before and After are the versions before and after of the same series; empty where there is none.
	Before, After string
	// Platforms are the images of the index that was asked for, the first of which this is; none where an image was.
	Platforms []PlatformName
	// Others are the versions of the lineage on this platform that it may be compared with, newest first.
	Others []VersionName
}

// PlatformName is an image of an index that was made here.
type PlatformName struct{ Platform, Digest string }

// VersionName is enough to choose a version by.
type VersionName struct {
	Digest, Reference string
	// Version is what the image calls itself; empty where it does not.
	Version  string
	Sequence int
}

// Image returns an image that was made here, by its digest, or that of an index, which is told of by its first image; errors
// wrap ErrNotFound.
func (v *View) Image(ctx context.Context, d string) (*VersionDetail, error) {
	platforms, err := v.platforms(ctx, digest.Digest(d))
	if err != nil {
		return nil, err
	}
	if len(platforms) > 0 {
		d = platforms[0].Digest
	}
	out, err := v.image(ctx, d)
	if err == nil {
		out.Platforms = platforms
	}
	return out, err
}

// platforms are the images of an index that were made here; none of what is no index.
func (v *View) platforms(ctx context.Context, d digest.Digest) (out []PlatformName, _ error) {
	if d.Validate() != nil {
		return nil, nil
	}
	for _, of := range v.leadsTo(ctx, d)[1:] {
		key, ok, err := v.lineageOf(ctx, of)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, PlatformName{key.Platform, of.String()})
		}
	}
	return out, nil
}

// image is Image without indexes.
func (v *View) image(ctx context.Context, d string) (*VersionDetail, error) {
	key, ok, err := v.lineageOf(ctx, digest.Digest(d))
	if err != nil {
		return nil, err
	}
	var all []rechunk.Version
	if ok {
		err = v.History.Walk(ctx, key.Lineage, func(_ string, versions []rechunk.Version) error {
			if len(versions) > 0 && versions[0].Platform == key.Platform {
				all = versions
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	at := slices.IndexFunc(all, func(v rechunk.Version) bool { return v.Digest.String() == d })
	if at < 0 {
		return nil, fmt.Errorf("%w: no image %s was made here, or it is not remembered any more", ErrNotFound, d)
	}
	return v.versionDetail(ctx, key.Lineage, all, at)
}

// lineageOf finds the lineage that an image belongs to.
func (v *View) lineageOf(ctx context.Context, d digest.Digest) (catalog.LineageKey, bool, error) {
	lineages, _, err := v.History.Lineages(ctx)
	if err != nil {
		return catalog.LineageKey{}, false, err
	}
	for _, l := range lineages {
		if slices.Contains(l.Of.Versions, d) {
			return l.Key, true, nil
		}
	}
	return catalog.LineageKey{}, false, nil
}

// versionDetail tells of one of the versions of a lineage, which are newest first.
func (v *View) versionDetail(ctx context.Context, family string, all []rechunk.Version, at int) (*VersionDetail, error) {
	of := all[at]
	out := &VersionDetail{Family: family, SourceBytes: of.SourceBytes, SourceNewBytes: of.SourceNewBytes}
	var series []rechunk.Version // from this one on back
	for i, other := range all {
		if i != at {
			out.Others = append(out.Others, VersionName{Digest: other.Digest.String(), Reference: other.Reference,
				Version: v.label(ctx, family, other.Digest.String()), Sequence: other.Sequence})
		}
		if other.Reference != of.Reference {
			continue
		}
		switch {
		case i < at:
			out.After = other.Digest.String()
		case i > at && out.Before == "":
			out.Before = other.Digest.String()
		}
		if i >= at {
			series = append(series, other)
		}
	}
	pulled, err := v.History.Pulled(ctx, series, 1)
	if err != nil {
		return nil, err
	}
	out.VersionReport = v.versionReport(ctx, of, first(pulled))
	var planned *rechunk.PlanRecord
	if out.Layers, planned, err = v.layers(ctx, of, all); planned != nil {
		out.Base, out.Dropped, out.Notes, out.NoiseKept = planned.Base.String(), planned.Dropped, planned.Notes,
			planned.NoiseKept
	}
	return out, err
}

func first(pulled []history.Pulled) history.Pulled {
	if len(pulled) == 0 {
		return history.Pulled{}
	}
	return pulled[0]
}
