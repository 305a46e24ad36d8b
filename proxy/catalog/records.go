package catalog

import (
	"encoding/json"
	"log/slog"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk"
)

// Records are all records of a store, by kind. They are safe for concurrent use.
type Records struct {
	Tags         *Table[TagKey, Tag]
	Manifests    *Table[digest.Digest, Manifest]
	Repositories *Table[string, Repository]
	Proofs       *Table[ContentKey, Proof]
	BlobProofs   *Table[ContentKey, Proof]
	Attempts     *Table[string, Attempt]
	Pulls        *Table[digest.Digest, Pulls]
	Verdicts     *Table[ContentKey, Verdict]
	Evidence     *Table[ContentKey, Evidence]
	Refusals     *Table[TagKey, Refusal]
	Admitted     *Table[ContentKey, Admitted]
	Signatures   *Table[ContentKey, Signature]
	Deltas       *Table[DeltaKey, Delta]
	DeltaDemands *Table[string, DeltaDemand]
	EdgeImages   *Table[string, EdgeImages]
	Trials       *Table[digest.Digest, Trials]
	Artifacts    *Table[ArtifactKey, Artifact]
	Rollouts     *Table[TagKey, Rollout]
	LayerChunks  *Table[LayerChunksKey, LayerChunks]
	ChunkIndexes *Table[ChunkIndexKey, ChunkIndex]
	Reached      *Table[ReachedKey, Reached]
	Fleet        *Table[string, Fleet]
	FleetTags    *Table[TagKey, FleetTag]
	Savings      *Table[string, Savings]

	// The engine's.
	Served    *Table[string, rechunk.Version]
	Lineages  *Table[LineageKey, rechunk.Lineage]
	Histories *Table[LineageKey, json.RawMessage]
	Plans     *Table[digest.Digest, rechunk.PlanRecord]
	Indexes   *Table[digest.Digest, rechunk.IndexRecord]
}

// New returns the records of a store. The logger hears of damaged ones; nil discards that.
func New(store *chunkstore.Store, log *slog.Logger) *Records {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := source{store, log}
	return &Records{
		Tags: newHot(s, tagKind()), Manifests: newHot(s, manifestKind()), Repositories: newTable(s, repositoryKind()),
		Proofs: newTable(s, proofKind()), BlobProofs: newTable(s, blobProofKind()), Attempts: newTable(s, attemptKind()),
		Deltas: newTable(s, deltaKind()), DeltaDemands: newTable(s, deltaDemandKind()),
		EdgeImages: newHot(s, edgeImagesKind()), Trials: newTable(s, trialsKind()),
		Refusals: newTable(s, refusalKind()), Admitted: newTable(s, admittedKind()), Verdicts: newHot(s, verdictKind()),
		Evidence:   newHot(s, evidenceKind()),
		Signatures: newHot(s, signatureKind()),
		Pulls:      newTable(s, pullsKind()), Served: newTable(s, servedKind()), Lineages: newTable(s, lineageKind()),
		Artifacts: newTable(s, artifactKind()), Rollouts: newTable(s, rolloutKind()),
		LayerChunks: newTable(s, layerChunksKind()), ChunkIndexes: newTable(s, chunkIndexKind()),
		Reached: newTable(s, reachedKind()), Fleet: newTable(s, fleetKind()), FleetTags: newTable(s, fleetTagKind()),
		Savings:   newTable(s, savingsKind()),
		Histories: newTable(s, historyKind()), Plans: newTable(s, planKind()), Indexes: newTable(s, indexKind()),
	}
}
