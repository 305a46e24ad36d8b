package service

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk"
)

// Operator is the service as operators see it. It is safe for concurrent use.
type Operator struct{ s *Service }

// Operator returns the service as operators see it.
func (s *Service) Operator() Operator { return Operator{s} }

var (
	_ admin.Status = Operator{}
	_ admin.Warmer = Operator{}
)

// Status implements admin.Status.
func (o Operator) Status(ctx context.Context) (admin.StatusReport, error) {
	s := o.s
	out := admin.StatusReport{
		Version: s.Version, StartedAt: s.started.UTC(), UptimeSeconds: s.Now().Sub(s.started).Seconds(), Jobs: s.jobs.counts(),
		Upstreams: upstreamReports(s.Upstream.Status()),
		Store:     admin.StoreReport{Driver: s.Storage.Driver, Location: s.Storage.Location},
	}
	if s.Redis != nil {
		out.Redis = s.Redis()
	}
	repositories, err := s.repositories(ctx)
	if err != nil {
		return out, err
	}
	out.Repositories = len(repositories)
	served := map[digest.Digest]int64{}
	err = s.walkLineages(ctx, "", func(_ string, versions []rechunk.Version) {
		out.Versions += len(versions)
		update, saved := updates(versions)
		out.UpdateBytes, out.UpdateBytesSaved = out.UpdateBytes+update, out.UpdateBytesSaved+saved
		for _, v := range versions {
			for _, layer := range v.Layers {
				served[layer.Digest] = layer.Size
			}
		}
	})
	if err != nil {
		return out, err
	}
	for _, n := range served {
		out.Store.ServedBytes += n
	}
	out.Store.TotalBytes, err = s.storeSize(ctx)
	out.Store.SourceBytes = max(out.Store.TotalBytes-out.Store.ServedBytes, 0)
	s.Metrics.StoredBytes(metrics.StoreServed, out.Store.ServedBytes)
	s.Metrics.StoredBytes(metrics.StoreSource, out.Store.SourceBytes)
	return out, err
}

func upstreamReports(all []upstream.HostStatus) []admin.UpstreamReport {
	var out []admin.UpstreamReport
	for _, u := range all {
		out = append(out, admin.UpstreamReport{
			Host: u.Host, Breaker: u.State, PausedUntil: u.PausedUntil.UTC(), Running: u.Running, Held: u.Held,
			BudgetLimit: u.Budget.Limit, BudgetRemaining: u.Budget.Remaining, BudgetLow: u.Budget.Low,
		})
	}
	return out
}

// walkLineages calls fn with the versions of each lineage and platform, newest first; of one family, or of all where that is empty.
func (s *Service) walkLineages(ctx context.Context, family string, fn func(family string, versions []rechunk.Version)) error {
	var of catalog.Prefix[catalog.LineageKey]
	if family != "" {
		of = catalog.LineagesOf(family)
	}
	return s.records.Lineages.Each(ctx, of, func(key catalog.LineageKey, l *rechunk.Lineage) error {
		fn(key.Lineage, l.Versions)
		return nil
	})
}

// updates adds up what the updates between versions cost, and what the source images' would have cost beyond that.
func updates(versions []rechunk.Version) (bytes, saved int64) {
	for _, v := range versions {
		if v.Sequence > 1 {
			bytes += v.NewBytes
			saved += v.SourceNewBytes - v.NewBytes
		}
	}
	return bytes, max(saved, 0)
}

// storeSizeFor is how long a measured size of the store is told again: measuring walks all of it.
const storeSizeFor = 30 * time.Second

// storeSize remembers the size of the store.
type storeSize struct {
	measuring singleflight.Group
	// last is the newest measurement, from within measuring.
	last measurement
}

type measurement struct {
	at    time.Time
	bytes int64
}

// storeSize returns the size of all content, in bytes. Measuring goes on when ctx ends, for whoever asks next.
func (s *Service) storeSize(ctx context.Context) (int64, error) {
	return shared(ctx, s, &s.size.measuring, "", func(ctx context.Context) (int64, error) {
		last := &s.size.last
		if !last.at.IsZero() && s.Now().Sub(last.at) < storeSizeFor {
			return last.bytes, nil
		}
		var total int64
		err := s.Chunks.Walk(ctx, func(i chunkstore.Info) error {
			total += i.Size
			return nil
		})
		if err == nil {
			*last = measurement{s.Now(), total}
		}
		return total, err
	})
}
