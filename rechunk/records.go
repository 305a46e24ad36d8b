package rechunk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Kinds of record that an engine keeps; docs/formats.md has their keys and fields.
const (
	// KindServed: one served image of a source image under given options.
	KindServed = "served"
	// KindLineage: the served images of a lineage and platform, newest first.
	KindLineage = "lineage"
	// KindHistory: what was observed to change in a lineage and platform.
	KindHistory = "history"
	// KindPlan: how a served image came about.
	KindPlan = "plan"
	// KindIndex: what a layer holds.
	KindIndex = "index"
)

// Version is one served image in a lineage.
type Version struct {
	Result
	// Config is the digest of the image's config; empty in versions that were recorded without it.
	Config digest.Digest `json:"config,omitempty"`
	// Reference is the Request's: what the version was made for first.
	Reference string `json:"reference,omitempty"`
	// Tree tells filesystems apart as composefs does: equal ones have the same. Empty in versions that were recorded without
	// it.
	Tree string `json:"tree,omitempty"`
	// Form is how the image keeps its files: empty for a plain one, FormOSTree for one whose layers have the objects of an
	// ostree commit, the lowest the commit itself.
	Form   string         `json:"form,omitempty"`
	Layers []VersionLayer `json:"layers"`
	// SourceLayers are the digests of the source's layers.
	SourceLayers []digest.Digest `json:"source_layers"`
	// Created is when the version was made. Nothing that is served depends on it.
	Created time.Time `json:"created"`
}

// blobs lists what a client of the version fetches. A record that names no blobs properly is no version: ok is false.
func (v *Version) blobs() (_ []digest.Digest, ok bool) {
	out := []digest.Digest{v.Digest}
	if v.Config != "" {
		out = append(out, v.Config)
	}
	for _, l := range v.Layers {
		out = append(out, l.Digest)
	}
	bad := slices.ContainsFunc(out, func(d digest.Digest) bool { return d.Validate() != nil })
	return out, !bad && len(v.Layers) > 0
}

// VersionLayer is a layer of a served image.
type VersionLayer struct {
	Digest  digest.Digest `json:"digest"`
	DiffID  digest.Digest `json:"diff_id"`
	Size    int64         `json:"size"`
	TarSize int64         `json:"tar_size"`
	Type    string        `json:"media_type"`
	// Annotations are those of the layer's descriptor, which its format asks for.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Encoder made the layer's bytes of its tar stream (layer.Encoder.String); empty where that is not known.
	Encoder string `json:"encoder,omitempty"`
	Name    string `json:"name"`
	Kept    bool   `json:"kept"`
	// Since is the sequence of the version that brought the layer.
	Since int `json:"since"`
}

// Lineage is the record of the images served before, newest first.
type Lineage struct {
	Versions []Version `json:"versions"`
	// Fence is that of the lock under which the record was written. A lower one may not replace it.
	Fence int64 `json:"fence,omitempty"`
}

// lineageKey tells lineages and platforms apart.
func lineageKey(lineage, platform string) string { return lineage + " " + platform }

// servedKey holds everything that decides the result besides the lineage's state.
func servedKey(r Request) string {
	return r.Lineage + " " + r.Digest.String() + " " + r.Options.resultFingerprint()
}

// getJSON reads a record into v and reports whether it is there. A damaged one counts as missing: all of these can be made
// again.
func (e *Engine) getJSON(ctx context.Context, kind, key string, v any) (bool, error) {
	b, err := e.cfg.Records.GetRecord(ctx, kind, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the %s record %q: %w", kind, key, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		e.cfg.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", kind, "key", key, "error", err)
		return false, nil
	}
	return true, nil
}

func (e *Engine) putJSON(ctx context.Context, kind, key string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = e.cfg.Records.PutRecord(ctx, kind, key, b)
	}
	if err != nil {
		return fmt.Errorf("writing the %s record %q: %w", kind, key, err)
	}
	return nil
}

// LineageOf returns the versions of a lineage on a platform ("linux/amd64"), newest first; none when there is no record.
func (e *Engine) LineageOf(ctx context.Context, lineage, platform string) ([]Version, error) {
	var l Lineage
	if _, err := e.getJSON(ctx, KindLineage, lineageKey(lineage, platform), &l); err != nil {
		return nil, err
	}
	return l.Versions, nil
}

// PlanOf returns how a served image came about, by its digest; nil when there is no record.
func (e *Engine) PlanOf(ctx context.Context, served digest.Digest) (*PlanRecord, error) {
	var p PlanRecord
	if ok, err := e.getJSON(ctx, KindPlan, served.String(), &p); !ok || err != nil {
		return nil, err
	}
	return &p, nil
}
