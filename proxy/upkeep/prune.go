package upkeep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk"
)

// ErrUnknownName says that a store has nothing of a name.
var ErrUnknownName = errors.New("nothing of this name is stored")

const kindRepository = "repository"

// PruneOptions say what is dropped.
type PruneOptions struct {
	// Name is a tag ("ghcr.io/ublue-os/bluefin:stable"), a repository with all its tags, or a lineage: what is there counts.
	Name string
	// DryRun looks and changes nothing.
	DryRun   bool
	Progress Progress
}

// PruneReport is what was dropped, or would be.
type PruneReport struct {
	DryRun bool `json:"dry_run"`
	// Tags, Repositories and Lineages are the names of what goes; lineages with the platform.
	Tags         []string `json:"tags"`
	Repositories []string `json:"repositories"`
	Lineages     []string `json:"lineages"`
	// GC is what became free. A dry run does not tell.
	GC *GCReport `json:"gc,omitempty"`
}

// Prune drops a tag, a repository or a lineage: the records that make its images needed. What nobody needs then goes by a gc. The next pull
// of a dropped tag is a first pull; without their lineage, images are planned as first versions. ErrUnknownName says that
// there is no such thing.
func (k *Keeper) Prune(ctx context.Context, o PruneOptions) (PruneReport, error) {
	out := PruneReport{DryRun: o.DryRun, Tags: []string{}, Repositories: []string{}, Lineages: []string{}}
	err := k.only(ctx, "gc", func(ctx context.Context) error {
		r, err := k.readRecords(ctx, o.Progress)
		if err != nil {
			return err
		}
		if err := k.choose(ctx, r, o.Name, &out); err != nil || o.DryRun {
			return err
		}
		if err := k.drop(ctx, out); err != nil {
			return err
		}
		gc, err := k.collect(ctx, GCOptions{Progress: o.Progress}, nil)
		out.GC = &gc
		return err
	})
	return out, err
}

// choose finds what a name stands for.
func (k *Keeper) choose(ctx context.Context, r *records, name string, out *PruneReport) error {
	for _, key := range slices.Sorted(maps.Keys(r.all[kindTag])) {
		if repository, _ := splitTag(key); key == name || repository == name {
			out.Tags = append(out.Tags, key)
		}
	}
	_, err := k.Chunks.GetRecord(ctx, kindRepository, name)
	if err == nil {
		out.Repositories = append(out.Repositories, name)
	}
	for _, key := range slices.Sorted(maps.Keys(r.all[rechunk.KindLineage])) {
		if lineage, _, ok := rechunk.SplitLineageKey(key); ok && (lineage == name || key == name) {
			out.Lineages = append(out.Lineages, key)
		}
	}
	if len(out.Tags)+len(out.Repositories)+len(out.Lineages) == 0 {
		if strings.TrimSpace(name) == "" {
			name = `""`
		}
		return fmt.Errorf("%s: %w: give a tag as host/path:tag, a repository as host/path, or a lineage", name, ErrUnknownName)
	}
	return nil
}

// drop removes the records: tags first, which lead to the rest.
func (k *Keeper) drop(ctx context.Context, p PruneReport) error {
	for _, of := range []struct {
		kind string
		keys []string
	}{{kindTag, p.Tags}, {kindRepository, p.Repositories}, {rechunk.KindHistory, p.Lineages}, {rechunk.KindLineage, p.Lineages}} {
		for _, key := range of.keys {
			if err := k.Chunks.DeleteRecord(ctx, of.kind, key); err != nil {
				return err
			}
			k.Logger.InfoContext(ctx, "pruned", "kind", of.kind, "name", key)
		}
	}
	return nil
}
