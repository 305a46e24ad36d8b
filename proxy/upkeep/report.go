package upkeep

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Progress is told how work goes on; nil is allowed. It may be called from several goroutines.
type Progress func(phase string, done, total int64)

func (p Progress) tell(phase string, done, total int64) {
	if p != nil {
		p(phase, done, total)
	}
}

// Amount is a number of objects and their bytes.
type Amount struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (a *Amount) add(bytes int64) {
	a.Objects++
	a.Bytes += bytes
}

// RemovedVersion is a served image that is not kept any longer.
type RemovedVersion struct {
	Lineage string        `json:"lineage"` // with the platform
	Digest  digest.Digest `json:"digest"`
	Created time.Time     `json:"created,omitzero"`
	Reason  string        `json:"reason"`
}

// maxListed bounds what a dry run lists.
const maxListed = 1000

// IdleContent is content that nothing leads to.
type IdleContent struct {
	Digest digest.Digest `json:"digest"`
	Bytes  int64         `json:"bytes"`
	Stored time.Time     `json:"stored"`
	// Goes says that this run removes it; else Reason says what it waits for.
	Goes   bool   `json:"goes"`
	Reason string `json:"reason"`
}

// list adds content to what a dry run lists.
func (r *GCReport) list(c IdleContent) {
	if len(r.Content) < maxListed {
		r.Content = append(r.Content, c)
		return
	}
	r.ContentLeftOut++
}

// GCReport is what a gc did, or, when DryRun, would do.
type GCReport struct {
	DryRun    bool      `json:"dry_run"`
	StartedAt time.Time `json:"started_at"`
	Seconds   float64   `json:"seconds"`
	// Versions are the served images that go, each with the reason.
	Versions []RemovedVersion `json:"versions"`
	// Records counts the records that go, by kind.
	Records map[string]int64 `json:"records"`
	// Removed is the content that goes: nothing leads to it.
	Removed Amount `json:"removed"`
	// Waiting is content that nothing leads to either but that goes later: it is too young, being read, or work is under
	// way, here or in another process, that may still want it. A later gc removes it.
	Waiting Amount `json:"waiting"`
	// Content lists what is in Removed and Waiting, the first maxListed as the store has them, largest first, and
	// ContentLeftOut counts the rest. Only a dry run has them.
	Content        []IdleContent `json:"content,omitempty"`
	ContentLeftOut int64         `json:"content_left_out,omitempty"`
	// Kept is the content that is needed, and Kinds what for.
	Kept  Amount            `json:"kept"`
	Kinds map[string]Amount `json:"kinds"`
	// Damaged are records that could not be read and that content may hang on. While there are any, no content is removed:
	// strata scrub puts them aside.
	Damaged []string `json:"damaged"`
}

// Kinds of content in reports.
const (
	KindDocument = "document" // manifests, indexes, configs
	KindServed   = "served"   // layers made here
	KindOriginal = "original" // layers of images that are served as they are
	KindSource   = "source"   // layers of images that were made others of
	KindIndex    = "index"    // what layers hold
	KindDelta    = "delta"    // how to make layers of older images
	KindChunk    = "chunk"    // chunks of layers and images
)

// kindOf is the one that content counts as.
func kindOf(u catalog.Use) string {
	switch {
	case u&catalog.ServedLayer != 0:
		return KindServed
	case u&catalog.OriginalLayer != 0:
		return KindOriginal
	case u&catalog.SourceLayer != 0:
		return KindSource
	case u&catalog.LayerIndex != 0:
		return KindIndex
	case u&catalog.DeltaOf != 0:
		return KindDelta
	case u&catalog.ChunkOf != 0:
		return KindChunk
	}
	return KindDocument
}
