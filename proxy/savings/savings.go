// Package savings knows what pulls took, and what the same pulls would have taken of the source images, day by day.
//
// What was sent is counted. What it would have taken else is told by how far behind the clients were, as package pulls
// observes it: a client that was two versions behind would have lacked the layers of the source that the source two versions
// before did not have. So it is worked out for pulls that took place, and not for those that might have; where the source
// would have been less, it says so.
package savings

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/oci"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

const (
	leaseTTL = 5 * time.Second
	patience = 2 * time.Second
)

// Chains tell which versions came before a served image.
type Chains interface {
	// Chain returns an image and the versions of its series before it, newest first; nothing for one that is no version.
	Chain(ctx context.Context, manifest digest.Digest) ([]rechunk.Version, error)
}

// Content has stored manifests.
type Content interface {
	Get(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Metrics are told what pulls took, and what they would have taken of the sources.
type Metrics interface {
	Saved(sent, source int64)
}

// Options are what Savings are made of; Leases and Metrics may be nil.
type Options struct {
	Records *catalog.Table[string, catalog.Savings]
	Chains  Chains
	Content Content
	// Leases let one of several replicas write a record.
	Leases  *lease.Leases
	Metrics Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Savings add up what pulls took. They are safe for concurrent use.
type Savings struct {
	Options
	known *catalog.Summaries[string, catalog.Savings, []catalog.SavedDay]

	mu  sync.Mutex
	of  []summary // that all tells of
	all *Report
}

// summary are the days of a repository.
type summary = catalog.Summary[string, []catalog.SavedDay]

// New makes savings.
func New(o Options) *Savings {
	days := func(_ string, s *catalog.Savings) []catalog.SavedDay { return s.Days }
	known := catalog.NewSummaries(o.Records, o.Now, days)
	known.Shelve("savings 1")
	return &Savings{Options: o, known: known}
}

// Keep has the next process begin with what is remembered of all repositories.
func (s *Savings) Keep(ctx context.Context) error { return s.known.Keep(ctx) }

// counting are counters whose pulls are added up.
type counting struct {
	pulls.Counters
	to *Savings
}

// Counting returns counters that add up what pulls took, too. What can't be added up is lost, and the pulls are counted.
func (s *Savings) Counting(c pulls.Counters) pulls.Counters { return counting{c, s} }

// Add implements pulls.Counters.
func (c counting) Add(ctx context.Context, manifest digest.Digest, delta pulls.Counts) error {
	before, err := c.Get(ctx, manifest)
	if err != nil {
		return err
	}
	if err := c.Counters.Add(ctx, manifest, delta); err != nil || len(delta.Layers) == 0 {
		return err
	}
	if err := c.to.add(ctx, manifest, before, delta); err != nil {
		c.to.Logger.DebugContext(ctx, "what pulls saved is not known", "manifest", manifest.String(), "error", err)
	}
	return nil
}

// add adds what the pulls of an image took since before.
func (s *Savings) add(ctx context.Context, manifest digest.Digest, before, delta pulls.Counts) error {
	chain, err := s.Chains.Chain(ctx, manifest)
	if err != nil || len(chain) == 0 {
		return err
	}
	var day catalog.SavedDay
	for _, l := range chain[0].Layers {
		day.Sent += l.Size * delta.Layers[l.Digest]
	}
	sizes := s.sourceSizes(ctx, &chain[0])
	wasSource, wasPulls := fromSource(chain, before, sizes)
	isSource, isPulls := fromSource(chain, before.Plus(delta), sizes)
	day.Day, day.Source, day.Pulls = s.Now().UTC().Format(time.DateOnly), isSource-wasSource, isPulls-wasPulls
	repository, _, _ := strings.Cut(chain[0].Reference, "@")
	if key, ok := catalog.ParseTagKey(repository); ok && !strings.Contains(key.Tag, "/") {
		repository = key.Repository
	}
	if err := s.write(ctx, repository, day); err != nil {
		return err
	}
	if s.Metrics != nil {
		s.Metrics.Saved(day.Sent, day.Source)
	}
	return nil
}

// write adds to a day of a repository.
func (s *Savings) write(ctx context.Context, repository string, day catalog.SavedDay) error {
	if s.Leases != nil {
		limited, stop := context.WithTimeout(ctx, patience)
		defer stop()
		if l, err := s.Leases.Acquire(limited, "savings "+repository, leaseTTL); err == nil {
			defer l.Release()
		}
	}
	rec, err := s.Records.Get(ctx, repository)
	if err != nil {
		return err
	}
	if rec == nil {
		rec = &catalog.Savings{}
	}
	out := catalog.Savings{Days: merge(rec.Days, day)}
	out.Days = out.Days[max(len(out.Days)-catalog.MaxSavedDays, 0):]
	return s.Records.Put(ctx, repository, &out)
}

// merge adds a day to days, which it does not change.
func merge(days []catalog.SavedDay, day catalog.SavedDay) []catalog.SavedDay {
	i, found := slices.BinarySearchFunc(days, day.Day,
		func(d catalog.SavedDay, day string) int { return cmp.Compare(d.Day, day) })
	if !found {
		return slices.Insert(slices.Clone(days), i, day)
	}
	days = slices.Clone(days)
	days[i] = plus(days[i], day)
	return days
}

// plus adds what pulls took on a day to what is known of it.
func plus(known, day catalog.SavedDay) catalog.SavedDay {
	day.Sent, day.Source, day.Pulls = known.Sent+day.Sent, known.Source+day.Source, known.Pulls+day.Pulls
	return day
}

// sourceSizes are those of the layers of a version's source, by their digests; nothing where its manifest is not stored.
func (s *Savings) sourceSizes(ctx context.Context, v *rechunk.Version) map[digest.Digest]int64 {
	raw, err := s.Content.Get(ctx, v.SourceDigest, image.MaxDocument)
	if err != nil {
		return nil
	}
	document, err := oci.Parse("", raw)
	if err != nil || document.Manifest == nil {
		return nil
	}
	sizes := map[digest.Digest]int64{}
	for _, l := range document.Manifest.Layers {
		sizes[l.Digest] = l.Size
	}
	return sizes
}

// fromSource is what the pulls of the first image of a chain would have taken of its source, in bytes, and how many they
// are.
func fromSource(chain []rechunk.Version, c pulls.Counts, sizes map[digest.Digest]int64) (bytes int64, n float64) {
	images := make([]pulls.Image, len(chain))
	for i, v := range chain {
		images[i].Manifest = v.Digest
		for _, l := range v.Layers {
			images[i].Layers = append(images[i].Layers, l.Digest)
		}
	}
	lags := pulls.Observe(images, c)
	sum := lags.Fresh * float64(chain[0].SourceBytes)
	for k, clients := range lags.Behind {
		if k+1 < len(chain) {
			sum += clients * float64(lacking(&chain[0], &chain[k+1], sizes))
		}
	}
	return int64(sum), lags.Pulls()
}

// lacking are the bytes of a source's layers that an older one has not. Where their sizes are not known, it is what the
// source before the newer one had not: clients that are further behind lack as much at least.
func lacking(newer, older *rechunk.Version, sizes map[digest.Digest]int64) (bytes int64) {
	if sizes == nil {
		return newer.SourceNewBytes
	}
	for _, l := range slices.Compact(slices.Sorted(slices.Values(newer.SourceLayers))) {
		if !slices.Contains(older.SourceLayers, l) {
			bytes += sizes[l]
		}
	}
	return bytes
}
