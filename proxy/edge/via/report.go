package via

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/edge/pairs"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/delta"
)

// Report tells how an edge fares, since it was started.
type Report struct {
	// Deltas and Whole are the layers that came as deltas and whole; Reasons say why.
	Deltas  int64            `json:"deltas"`
	Whole   int64            `json:"whole"`
	Reasons map[string]int64 `json:"reasons"`
	// DeltaBytes is what the deltas took, SavedBytes how much less that is than their layers.
	DeltaBytes int64 `json:"delta_bytes"`
	SavedBytes int64 `json:"saved_bytes"`
	// Centrals are the other Stratas that were asked so far, by the hosts that they stand for.
	Centrals []CentralReport `json:"centrals"`
	// Roots are the root file systems that are no seeds, as they were last looked at.
	Roots []RootReport `json:"unusable_roots,omitempty"`
	// Pairs are the layers that came of late, of each the last time, the latest first.
	Pairs []pairs.Pair `json:"-"`
}

// RootReport says why a root file system is no seed.
type RootReport struct {
	Root  string `json:"root"`
	Error string `json:"error"`
}

// CentralReport tells of one of them.
type CentralReport struct {
	Host string `json:"host"`
	// Makes says whether it makes deltas. Where it could not be asked, Unknown says why, and nothing is known of it.
	Makes   bool   `json:"makes_deltas"`
	Unknown string `json:"unknown,omitempty"`
	// Rate is what the link to it brings, in bytes per second; 0 while unknown.
	Rate int64 `json:"bytes_per_second"`
	// Slow says until when it is not asked for deltas, since it let one wait too long; nil while it is.
	Slow *time.Time `json:"slow_until,omitempty"`
}

// tally counts layers.
type tally struct {
	mu                          sync.Mutex
	deltas, whole, bytes, saved int64
	reasons                     map[string]int64
	roots                       map[string]string // those that are no seeds, and why
	recent                      *pairs.Recent
}

// rootIs notes whether a root file system can be told to hold an image. Each change is said once.
func (s *Source) rootIs(ctx context.Context, dir string, err error) {
	text := ""
	if err != nil {
		text = told(err)
	}
	s.tally.mu.Lock()
	before := s.tally.roots[dir]
	if s.tally.roots[dir] = text; text == "" {
		delete(s.tally.roots, dir)
	}
	s.tally.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		s.Logger.LogAttrs(ctx, slog.LevelInfo, "a root file system is a seed again", slog.String("root", dir))
	default:
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "a root file system is no seed: layers come whole", slog.String("root", dir),
			slog.Any("error", err))
	}
}

// cameByDelta counts a layer that a delta of so many bytes made.
func (s *Source) cameByDelta(repo name.Repository, seed digest.Digest, l layer, bytes int64, took time.Duration) {
	p := pairs.Pair{State: pairs.Applied, Repository: repo.String(), Seed: seed.String(), Layer: l.digest.String(),
		LayerBytes: l.size, Bytes: bytes, At: s.Now().UTC(), Seconds: took.Seconds()}
	p.Measure()
	s.tally.recent.Note(p)
	s.tally.mu.Lock()
	s.tally.deltas++
	s.tally.bytes += bytes
	s.tally.saved += l.size - bytes
	s.tally.mu.Unlock()
	s.Metrics.EdgeDelta(bytes, l.size-bytes)
}

// wentWhole counts a layer that is fetched whole, and tells of what is not as usual. seed is the image that it was to be
// made of, empty where it did not come to that.
func (s *Source) wentWhole(ctx context.Context, repo name.Repository, seed digest.Digest, l layer, why Reason, err error) {
	if ctx.Err() != nil {
		return // nobody gets it
	}
	p := pairs.Pair{State: pairs.Whole, Repository: repo.String(), Seed: seed.String(), Layer: l.digest.String(),
		LayerBytes: l.size, At: s.Now().UTC(), Refused: string(why)}
	if err != nil {
		p.Message = told(err)
	}
	s.tally.recent.Note(p)
	s.tally.mu.Lock()
	s.tally.whole++
	s.tally.reasons[string(why)]++
	s.tally.mu.Unlock()
	s.Metrics.EdgeWhole(string(why))
	level := slog.LevelInfo
	switch why {
	case NoCentral, NoSeed, Refused, Wait, Slow, Again:
		level = slog.LevelDebug
	}
	s.Logger.LogAttrs(ctx, level, "layer is fetched whole", slog.String("repository", repo.String()),
		slog.String("digest", l.digest.String()), slog.String("reason", string(why)), slog.Any("error", err))
}

// Report tells how the edge fares.
func (s *Source) Report() Report {
	s.tally.mu.Lock()
	r := Report{
		Deltas: s.tally.deltas, Whole: s.tally.whole, Reasons: maps.Clone(s.tally.reasons), DeltaBytes: s.tally.bytes,
		SavedBytes: s.tally.saved, Centrals: []CentralReport{}, Pairs: s.tally.recent.List(),
	}
	for dir, text := range s.tally.roots {
		r.Roots = append(r.Roots, RootReport{dir, text})
	}
	s.tally.mu.Unlock()
	slices.SortFunc(r.Roots, func(a, b RootReport) int { return strings.Compare(a.Root, b.Root) })
	s.mu.Lock()
	centrals := maps.Clone(s.centrals)
	s.mu.Unlock()
	for host, c := range centrals {
		out := CentralReport{Host: host}
		out.Makes, out.Unknown = c.report()
		if rate, known := c.link.bytesPerSecond(); known {
			out.Rate = int64(rate)
		}
		if until := c.temper.restsUntil(); !until.IsZero() {
			out.Slow = &until
		}
		r.Centrals = append(r.Centrals, out)
	}
	slices.SortFunc(r.Centrals, func(a, b CentralReport) int { return strings.Compare(a.Host, b.Host) })
	return r
}

// maxUnknown bounds what is told of an error, in bytes.
const maxUnknown = 300

// told is what is told of an error.
func told(err error) string {
	text := err.Error()
	return text[:min(len(text), maxUnknown)]
}

// report tells whether a central makes deltas, or why that is not known. It does not wait for an answer.
func (c *central) report() (makes bool, unknown string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.unknown != nil:
		return false, told(c.unknown)
	case c.until.IsZero():
		return false, "it was not asked yet"
	}
	return c.makes, ""
}

// timed counts what encoders take.
type timed struct {
	Encoders
	metrics *metrics.Metrics
}

// Encode implements delta.Encoders.
func (t timed) Encode(ctx context.Context, e delta.Encoder, plain io.Reader, wrapped io.Writer) error {
	began := time.Now()
	defer func() { t.metrics.EdgeWrapped(time.Since(began)) }()
	return t.Encoders.Encode(ctx, e, plain, wrapped)
}
