package upkeep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// ErrUnknownName says that a store has nothing of a name.
var ErrUnknownName = errors.New("nothing of this name is stored")

// ErrRolledOut says that not all hosts are to get what a tag stands for, which they would once that is forgotten.
var ErrRolledOut = errors.New("not all hosts are to get its newest version, and all would with their next pull")

// PruneOptions say what is dropped.
type PruneOptions struct {
	// Name is a tag ("ghcr.io/ublue-os/bluefin:stable"), a repository with all its tags, or a lineage: what is there counts.
	Name string
	// DryRun looks and changes nothing.
	DryRun bool
	// EndRollouts drops tags, too, of which not all hosts get the newest version.
	EndRollouts bool
	Progress    Progress
}

// PruneReport is what was dropped, or would be.
type PruneReport struct {
	DryRun bool `json:"dry_run"`
	// Tags, Repositories and Lineages are the names of what goes; lineages with the platform.
	Tags         []string `json:"tags"`
	Repositories []string `json:"repositories"`
	Lineages     []string `json:"lineages"`
	// Rollouts are the tags of which all hosts get the newest version then, and did not before.
	Rollouts []string `json:"rollouts,omitempty"`
	// GC is what became free. A dry run does not tell.
	GC *GCReport `json:"gc,omitempty"`
}

// Prune drops a tag, a repository or a lineage: the records that make its images needed. What nobody needs then goes by a
// gc. The next pull of a dropped tag is a first pull; without their lineage, images are planned as first versions.
// ErrUnknownName says that there is no such thing, ErrRolledOut that EndRollouts is needed.
func (k *Keeper) Prune(ctx context.Context, o PruneOptions) (PruneReport, error) {
	out := PruneReport{DryRun: o.DryRun, Tags: []string{}, Repositories: []string{}, Lineages: []string{}}
	err := k.only(ctx, workGC, func(ctx context.Context, t turn) error {
		if err := catalog.CheckKinds(ctx, k.Chunks); err != nil {
			return err // nothing could be removed
		}
		if err := k.choose(ctx, o.Name, &out); err != nil || o.DryRun {
			return err
		}
		if len(out.Rollouts) > 0 && !o.EndRollouts {
			return fmt.Errorf("%s: %w: strata release --all ends its roll-out, and --end-rollouts prunes it all the same",
				out.Rollouts[0], ErrRolledOut)
		}
		if err := k.drop(ctx, out); err != nil {
			return err
		}
		gc, err := k.collect(ctx, t, GCOptions{Progress: o.Progress}, nil)
		out.GC = &gc
		return err
	})
	return out, err
}

// choose finds what a name stands for.
func (k *Keeper) choose(ctx context.Context, name string, out *PruneReport) error {
	tags := []catalog.Prefix[catalog.TagKey]{catalog.TagsOf(name)}
	if one, ok := catalog.ParseTagKey(name); ok {
		tags = append(tags, catalog.TagsOf(one.Repository))
	}
	repository, others := name, 0
	named := func(key catalog.TagKey, _ time.Time) error {
		switch {
		case key.Repository != name && key.String() != name:
			others++
		case !slices.Contains(out.Tags, key.String()):
			out.Tags = append(out.Tags, key.String())
		}
		return nil
	}
	for _, of := range tags {
		others = 0
		err := errors.Join(k.records.Tags.List(ctx, of, named), k.records.Refusals.List(ctx, of, named),
			k.records.Rollouts.List(ctx, of, named))
		if err != nil {
			return err
		}
		if one, ok := catalog.ParseTagKey(name); ok && others == 0 && slices.Contains(out.Tags, name) {
			repository = one.Repository // goes with its last tag
		}
	}
	err := k.records.Repositories.List(ctx, catalog.PrefixOf(repository), func(key string, _ time.Time) error {
		if key == repository {
			out.Repositories = append(out.Repositories, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	lineage, _, ok := rechunk.SplitLineageKey(name)
	if !ok {
		lineage = name
	}
	err = k.records.Lineages.List(ctx, catalog.LineagesOf(lineage), func(key catalog.LineageKey, _ time.Time) error {
		if key.Lineage == name || key.String() == name {
			out.Lineages = append(out.Lineages, key.String())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := k.rolledOut(ctx, out); err != nil {
		return err
	}
	if len(out.Tags)+len(out.Repositories)+len(out.Lineages) == 0 {
		if strings.TrimSpace(name) == "" {
			name = `""`
		}
		return fmt.Errorf("%s: %w: give a tag as host/path:tag, a repository as host/path, or a lineage", name,
			ErrUnknownName)
	}
	return nil
}

// rolledOut finds the tags of which not all hosts get the newest version. Where a record is damaged, nobody knows.
func (k *Keeper) rolledOut(ctx context.Context, out *PruneReport) error {
	for _, tag := range out.Tags {
		key, _ := catalog.ParseTagKey(tag)
		r, err := k.records.Rollouts.Get(ctx, key)
		if err != nil {
			return err
		}
		rec, err := k.records.Tags.Get(ctx, key)
		if err != nil {
			return err
		}
		if r != nil && r.UnderWay() || r == nil && rec != nil && rec.Staged {
			out.Rollouts = append(out.Rollouts, tag)
		}
	}
	return nil
}

// drop removes the records: tags first, which lead to the rest. What a repository was proven to have is forgotten with it.
func (k *Keeper) drop(ctx context.Context, p PruneReport) error {
	for _, of := range []struct {
		kind string
		keys []string
	}{
		{catalog.KindTag, p.Tags}, {catalog.KindRefusal, p.Tags}, {catalog.KindRollout, p.Tags},
		{catalog.KindFleetTag, p.Tags},
		{catalog.KindRepository, p.Repositories},
		{catalog.KindSavings, p.Repositories},
		{catalog.KindDeltaDemand, p.Repositories},
		{catalog.KindEdgeImages, p.Repositories},
		{catalog.KindHistory, p.Lineages},
		{catalog.KindLineage, p.Lineages},
	} {
		for _, key := range of.keys {
			if err := k.Chunks.DeleteRecord(ctx, of.kind, key); err != nil {
				return err
			}
			k.Logger.InfoContext(ctx, "pruned", "kind", of.kind, "name", key)
		}
	}
	for _, tag := range p.Tags {
		key, _ := catalog.ParseTagKey(tag)
		if err := dropAll(ctx, k.records.Reached, catalog.ReachedOf(key)); err != nil {
			return err
		}
	}
	for _, repository := range p.Repositories {
		of := catalog.ContentOf(repository)
		err := errors.Join(dropAll(ctx, k.records.Proofs, of), dropAll(ctx, k.records.BlobProofs, of),
			dropAll(ctx, k.records.Admitted, of), dropAll(ctx, k.records.Evidence, of))
		if err != nil {
			return err
		}
	}
	return nil
}

// dropAll removes the records whose keys begin with a prefix.
func dropAll[K, V any](ctx context.Context, table *catalog.Table[K, V], of catalog.Prefix[K]) error {
	return table.List(ctx, of, func(key K, _ time.Time) error { return table.Delete(ctx, key) })
}
