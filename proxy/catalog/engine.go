package catalog

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk"
)

// VersionLeads returns what a version of a lineage leads to, by what its record says: all of it is known when the manifest
// is lost.
func VersionLeads(v *rechunk.Version) []Target {
	to := []Target{{Digest: v.Digest, Use: Document}}
	if v.Config != "" {
		to = append(to, Target{Digest: v.Config, Use: Document})
	}
	for _, l := range v.Layers {
		to = append(to, Target{Digest: l.Digest, Use: ServedLayer})
	}
	return to
}

// Lineages lead to all their versions; which of them stay is for the retention rules to say.
func lineageKind() kind[LineageKey, rechunk.Lineage] {
	return kind[LineageKey, rechunk.Lineage]{
		name: rechunk.KindLineage, encode: LineageKey.String, decode: parseLineageKey, vital: true,
		leads: func(_ LineageKey, l *rechunk.Lineage) Leads {
			var out Leads
			for i := range l.Versions {
				out.To = append(out.To, VersionLeads(&l.Versions[i])...)
			}
			return out
		},
	}
}

func servedKind() kind[string, rechunk.Version] {
	return kind[string, rechunk.Version]{
		name: rechunk.KindServed, encode: asItIs, decode: anyKey,
		leads: func(_ string, v *rechunk.Version) Leads {
			return Leads{Owner{Manifest: v.Digest}, []Target{{v.Digest, ServedLayer, true}}}
		},
	}
}

func planKind() kind[digest.Digest, rechunk.PlanRecord] {
	return kind[digest.Digest, rechunk.PlanRecord]{
		name: rechunk.KindPlan, encode: digest.Digest.String, decode: digestKey,
		leads: func(d digest.Digest, _ *rechunk.PlanRecord) Leads { return Leads{Owner: Owner{Manifest: d}} },
	}
}

// Histories are read by package plan alone. They stay with their lineages.
func historyKind() kind[LineageKey, json.RawMessage] {
	return kind[LineageKey, json.RawMessage]{name: rechunk.KindHistory, encode: LineageKey.String, decode: parseLineageKey}
}

func indexKind() kind[digest.Digest, rechunk.IndexRecord] {
	return kind[digest.Digest, rechunk.IndexRecord]{
		name: rechunk.KindIndex, encode: digest.Digest.String, decode: digestKey,
		check: func(x *rechunk.IndexRecord) error {
			if x.Digest.Validate() != nil {
				return errors.New("it names no index")
			}
			return nil
		},
		leads: func(layer digest.Digest, x *rechunk.IndexRecord) Leads {
			return Leads{Owner{Layer: layer}, []Target{{Digest: x.Digest, Use: LayerIndex}}}
		},
	}
}

const kindUpkeep = "upkeep"

// upkeepKind is that of the documents in which package upkeep remembers what it did, and Summaries what they know. Each has
// a key and a type of its own; the types are theirs, whom alone they concern.
func upkeepKind[V any](key string) kind[struct{}, V] {
	return kind[struct{}, V]{
		name: kindUpkeep, encode: func(struct{}) string { return key },
		decode: func(string) (struct{}, bool) { return struct{}{}, true },
	}
}

// Note is a record of its own, under a fixed key. It is safe for concurrent use.
type Note[V any] struct{ table *Table[struct{}, V] }

// Upkeep returns what upkeep remembers under a key.
func Upkeep[V any](r *Records, key string) Note[V] {
	return Note[V]{newTable(r.Tags.source, upkeepKind[V](key))}
}

// Get returns what it says, or the zero value when there is none or it is damaged.
func (n Note[V]) Get(ctx context.Context) (V, error) {
	v, err := n.table.Get(ctx, struct{}{})
	if v == nil {
		v = new(V)
	}
	return *v, err
}

// Put stores it in place of what was said before.
func (n Note[V]) Put(ctx context.Context, v V) error { return n.table.Put(ctx, struct{}{}, &v) }
