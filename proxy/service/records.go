package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Kinds of record of this room; their keys are "host/path:tag", a digest and "host/path".
const (
	kindTag        = "tag"
	kindManifest   = "manifest"
	kindRepository = "repository"
)

// tagRecord says what a tag stands for.
type tagRecord struct {
	// SourceDigest and SourceType are what the upstream's tag led to.
	SourceDigest digest.Digest `json:"source_digest"`
	SourceType   string        `json:"source_media_type"`
	// Digest and MediaType are what clients get; equal to the source's when that is served as it is.
	Digest    digest.Digest   `json:"digest"`
	MediaType string          `json:"media_type"`
	Served    registry.Served `json:"served"`
	// Rule is the repository's rechunk rule at that time.
	Rule config.Rechunk `json:"rule"`
	// CheckedAt is when the upstream last said so, UpdatedAt when Digest last changed.
	CheckedAt time.Time `json:"checked_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Failure is why the record shows less than the rule asks for.
	Failure *failure `json:"failure,omitempty"`
}

// served says what kind of answer the record stands for, now that it was checked.
func (r *tagRecord) served() registry.Served {
	if r.Failure != nil && r.Failure.Source != r.SourceDigest {
		return registry.Stale // the upstream has another image, which could not be had
	}
	return r.Served
}

func (r *tagRecord) valid() bool {
	return r.SourceDigest.Validate() == nil && r.Digest.Validate() == nil && r.MediaType != "" &&
		(r.Served == registry.Original || r.Served == registry.Rechunked)
}

// manifestRecord says what a stored manifest is.
type manifestRecord struct {
	MediaType string          `json:"media_type"`
	Source    digest.Digest   `json:"source_digest"`
	Served    registry.Served `json:"served"`
}

func (r *manifestRecord) valid() bool {
	return r.Source.Validate() == nil && r.MediaType != "" && (r.Served == registry.Original || r.Served == registry.Rechunked)
}

// repositoryRecord marks a repository that was pulled through the proxy.
type repositoryRecord struct {
	Since time.Time `json:"since"`
}

// getRecord reads a record into v and reports whether it is there. One that is damaged counts as missing: upstreams and the
// engine can make it again. v may hold anything then.
func (s *Service) getRecord(ctx context.Context, kind, key string, v any) (bool, error) {
	b, err := s.recordBytes(ctx, kind, key, 0)
	if b == nil || err != nil {
		return false, err
	}
	return s.parseRecord(ctx, kind, key, b, v), nil
}

// recordBytes returns a record that was read so long ago at most, or nil when there is none or it is damaged.
func (s *Service) recordBytes(ctx context.Context, kind, key string, age time.Duration) ([]byte, error) {
	b, err := s.Chunks.GetRecordWithin(ctx, kind, key, age)
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, chunkstore.ErrNotFound):
		return nil, nil
	case errors.Is(err, chunkstore.ErrCorrupt) || errors.Is(err, chunkstore.ErrTooLarge):
		s.warnOfRecord(ctx, kind, key, err)
		return nil, nil
	}
	return nil, err
}

// parseRecord reads a record's bytes into v and reports whether they are good.
func (s *Service) parseRecord(ctx context.Context, kind, key string, b []byte, v any) bool {
	err := json.Unmarshal(b, v)
	if check, ok := v.(interface{ valid() bool }); ok && err == nil && !check.valid() {
		err = errors.New("a field is missing or makes no sense")
	}
	if err != nil {
		s.warnOfRecord(ctx, kind, key, err)
	}
	return err == nil
}

func (s *Service) warnOfRecord(ctx context.Context, kind, key string, err error) {
	s.Logger.WarnContext(ctx, "record is damaged and taken as missing", "kind", kind, "key", key, "error", err)
}

func (s *Service) putRecord(ctx context.Context, kind, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the %s record %q: %w", kind, key, err)
	}
	return s.Chunks.PutRecord(ctx, kind, key, b)
}

// tag returns a tag's record, or nil.
func (s *Service) tag(ctx context.Context, repo name.Repository, tag name.Reference) (*tagRecord, error) {
	return s.tagWithin(ctx, repo, tag, 0)
}

// tagWithin is tag for those who may be answered from memory with what was read so long ago.
func (s *Service) tagWithin(ctx context.Context, repo name.Repository, tag name.Reference, age time.Duration) (*tagRecord, error) {
	return readRecord(ctx, s, s.tagRecords, kindTag, tagKey(repo, tag), age)
}

// manifestAges is by how much older than a tag's the record of a manifest may be: nothing but its removal changes it.
const manifestAges = 60

func (s *Service) manifestAge() time.Duration { return manifestAges * s.RecordAge }

// noteRepository lists a repository in the catalog.
func (s *Service) noteRepository(ctx context.Context, repo name.Repository) error {
	var rec repositoryRecord
	if ok, err := s.getRecord(ctx, kindRepository, repo.String(), &rec); ok || err != nil {
		return err
	}
	return s.putRecord(ctx, kindRepository, repo.String(), repositoryRecord{Since: s.Now().UTC()})
}
