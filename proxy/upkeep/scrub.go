package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// ScrubOptions are those of one run.
type ScrubOptions struct {
	// Rate bounds the reading, in bytes a second; 0 means no bound.
	Rate int64
	// KeepDamaged is how long what is in quarantine stays there.
	KeepDamaged time.Duration
	Progress    Progress
	// rate, where it is not nil, is asked in the place of Rate again and again.
	rate func() int64
}

// DamagedObject is stored content, or a record, that is not what it was written as.
type DamagedObject struct {
	Name    string `json:"name"` // a digest, or the kind and key of a record
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// What becomes of damaged objects, after they were put into quarantine.
const (
	OutcomeFetched  = "fetched"  // from the upstream, again
	OutcomeMade     = "made"     // the tag's image was made again, perhaps with another layer
	OutcomeLater    = "later"    // it will be made again when it is needed
	OutcomeUnneeded = "unneeded" // nothing led to it
	OutcomeLost     = "lost"     // it could not be had
)

// ScrubReport is what a pass found.
type ScrubReport struct {
	StartedAt  time.Time `json:"started_at"` // of the pass; it may have been interrupted since
	FinishedAt time.Time `json:"finished_at,omitzero"`
	Records    int64     `json:"records"`
	Content    Amount    `json:"content"`
	// Unread counts content that the storage failed to read.
	Unread  int64           `json:"unread"`
	Damaged []DamagedObject `json:"damaged"`
}

// scrubRecord is where a pass stands.
type scrubRecord struct {
	ScrubReport
	// Position is the last content that was read, in the order of digests.
	Position digest.Digest `json:"position,omitempty"`
}

func (k *Keeper) scrubNote() catalog.Note[scrubRecord] {
	return catalog.Upkeep[scrubRecord](k.records, "scrub")
}

const (
	// saveScrub is after how many bytes the position is stored.
	saveScrub = 256 << 20
	// maxDamaged bounds the objects that a report names.
	maxDamaged = 1000
)

// Scrub reads all records and all content and puts what is damaged into quarantine, from where nobody is served; then it is
// fetched or made again. A pass that was interrupted is gone on with. ErrBusy says that another one is under way.
func (k *Keeper) Scrub(ctx context.Context, o ScrubOptions) (ScrubReport, error) {
	if o.rate == nil {
		o.rate = func() int64 { return o.Rate }
	}
	s := &scrub{Keeper: k, ScrubOptions: o, pace: newPace(o.rate)}
	err := k.only(ctx, workScrub, s.run)
	return s.at.ScrubReport, err
}

type scrub struct {
	*Keeper
	ScrubOptions
	turn
	pace    *pace
	at      scrubRecord
	unsaved int64
}

func (s *scrub) run(ctx context.Context, t turn) (err error) {
	s.turn = t
	if s.at, err = s.scrubNote().Get(ctx); err != nil {
		return err
	}
	if s.at.StartedAt.IsZero() || !s.at.FinishedAt.IsZero() {
		s.at = scrubRecord{ScrubReport: ScrubReport{StartedAt: s.Now().UTC()}}
	}
	if s.at.Damaged == nil {
		s.at.Damaged = []DamagedObject{}
	}
	if _, err := s.Chunks.SweepQuarantine(ctx, s.Now().Add(-s.KeepDamaged)); err != nil {
		return err
	}
	if s.at.Position == "" {
		if err := s.records(ctx); err != nil {
			return err
		}
	}
	if err = s.contents(ctx); err == nil {
		s.at.FinishedAt, s.at.Position = s.Now().UTC(), ""
		s.Logger.InfoContext(ctx, "scrub", "objects", s.at.Content.Objects, "bytes", s.at.Content.Bytes, "damaged",
			len(s.at.Damaged),
			"unread", s.at.Unread)
	}
	return errors.Join(err, note(context.WithoutCancel(ctx), s.turn, s.scrubNote(), s.at))
}

// records reads all records of all kinds.
func (s *scrub) records(ctx context.Context) error {
	names, err := s.Chunks.RecordKinds(ctx)
	if err != nil {
		return err
	}
	known := map[string]catalog.Kind{}
	for _, k := range catalog.Kinds() {
		known[k.Name] = k
	}
	for _, kind := range names {
		n, err := s.Chunks.QuarantineNameless(ctx, kind)
		if err != nil {
			return err
		}
		for range n {
			s.found(ctx, DamagedObject{Name: kind + " (no key)", Outcome: OutcomeLater})
		}
		err = s.Chunks.WalkRecords(ctx, kind,
			func(key string, _ time.Time) error { return s.record(ctx, kind, known[kind], key) })
		if err != nil {
			return err
		}
	}
	return nil
}

// record reads one record. Of a kind that is not known it is known only that it is a JSON document.
func (s *scrub) record(ctx context.Context, kind string, known catalog.Kind, key string) error {
	b, err := s.Chunks.GetRecord(ctx, kind, key)
	damaged := catalog.Damaged(err)
	switch {
	case errors.Is(err, chunkstore.ErrNotFound):
		return nil
	case err != nil && !damaged:
		return err
	case err == nil && known.Parse != nil:
		_, _, err = known.Parse(key, b)
		damaged = err != nil && !catalog.Newer(err)
	case err == nil:
		damaged = !json.Valid(b)
	}
	s.at.Records++
	if !damaged {
		return nil
	}
	if err := s.Chunks.QuarantineRecord(ctx, kind, key); err != nil {
		return err
	}
	s.found(ctx, DamagedObject{Name: kind + " " + key, Outcome: OutcomeLater})
	return nil
}

// contents reads all content from the position on.
func (s *scrub) contents(ctx context.Context) error {
	return s.Chunks.Walk(ctx, func(i chunkstore.Info) error {
		if i.Digest <= s.at.Position {
			return nil
		}
		err := s.content(ctx, i)
		if err != nil {
			return err
		}
		s.at.Position = i.Digest
		s.at.Content.add(i.Size)
		s.Metrics.Scrubbed(i.Size)
		s.Progress.tell("scrub", s.at.Content.Bytes, s.Usage.Used())
		if s.unsaved += i.Size; s.unsaved < saveScrub {
			return nil
		}
		s.unsaved = 0
		return note(ctx, s.turn, s.scrubNote(), s.at)
	})
}

// content reads one object and mends it when it is damaged. What the storage fails to read is counted; the pass goes on.
func (s *scrub) content(ctx context.Context, i chunkstore.Info) error {
	err := s.verify(ctx, i.Digest)
	switch {
	case err == nil, errors.Is(err, chunkstore.ErrNotFound):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.Is(err, chunkstore.ErrCorrupt):
		s.at.Unread++
		s.Logger.ErrorContext(ctx, "stored content can't be read", "digest", i.Digest.String(), "error", err)
		return nil
	}
	return s.store.Replace(ctx, i.Digest, err, func(ctx context.Context) (string, error) {
		outcome, err := s.mend(ctx, i.Digest)
		found := DamagedObject{Name: i.Digest.String(), Outcome: outcome}
		if err != nil {
			found.Error = err.Error()
		}
		s.list(found)
		return outcome, err
	})
}

// verify reads content at the pace and compares it with its digest.
func (s *scrub) verify(ctx context.Context, d digest.Digest) error {
	c, err := s.Chunks.Open(ctx, d)
	if err != nil {
		return err
	}
	defer c.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, &pacedReader{c, func(n int) error { return s.pace.wait(ctx, n) }}); err != nil {
		return err
	}
	if !v.Verified() {
		return fmt.Errorf("content %s: %w", d, chunkstore.ErrCorrupt)
	}
	return nil
}

// found tells of a damaged record.
func (s *scrub) found(ctx context.Context, d DamagedObject) {
	s.Logger.ErrorContext(ctx, "stored record is damaged and was put into quarantine", "record", d.Name, "outcome",
		d.Outcome)
	s.Metrics.Damaged(d.Outcome)
	s.list(d)
}

// list adds to the report.
func (s *scrub) list(d DamagedObject) {
	if len(s.at.Damaged) < maxDamaged {
		s.at.Damaged = append(s.at.Damaged, d)
	}
}
