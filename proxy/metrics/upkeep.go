package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// upkeep counts what is done to keep the store in order.
type upkeep struct {
	used, quota, full prometheus.Gauge
	gcRuns            *prometheus.CounterVec
	gcRemoved         prometheus.Counter
	evicted           *prometheus.CounterVec
	scrubbed          prometheus.Counter
	damaged           *prometheus.CounterVec
}

func newUpkeep(f promauto.Factory) upkeep {
	return upkeep{
		used:   f.NewGauge(gauge("store_used_bytes", "Bytes of content in the store.")),
		quota:  f.NewGauge(gauge("store_quota_bytes", "The store's quota; 0 for none.")),
		full:   f.NewGauge(gauge("store_over_quota", "1 while the quota is used up and nothing more may be evicted.")),
		gcRuns: f.NewCounterVec(counter("gc_runs_total", "Garbage collections that ended."), []string{"result"}),
		gcRemoved: f.NewCounter(counter("gc_removed_bytes_total",
			"Bytes of content that nobody needed and that were removed.")),
		evicted: f.NewCounterVec(counter("evicted_bytes_total", "Bytes of content removed for the quota."),
			[]string{"kind"}),
		scrubbed: f.NewCounter(counter("scrubbed_bytes_total",
			"Bytes of stored content that were read and compared with their digests.")),
		damaged: f.NewCounterVec(counter("damaged_total", "Stored objects that were found damaged."), []string{"outcome"}),
	}
}

// StoreUse tells how much content there is and how much there may be, in bytes.
func (m *Metrics) StoreUse(used, quota int64) {
	if m != nil {
		m.upkeep.used.Set(float64(used))
		m.upkeep.quota.Set(float64(quota))
	}
}

// OverQuota tells whether the quota can't be met.
func (m *Metrics) OverQuota(over bool) {
	if m == nil {
		return
	}
	m.upkeep.full.Set(0)
	if over {
		m.upkeep.full.Set(1)
	}
}

// Collected tells of the end of a gc, and how many bytes it removed.
func (m *Metrics) Collected(bytes int64, err error) {
	if m == nil {
		return
	}
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.upkeep.gcRuns.WithLabelValues(result).Inc()
	add(m.upkeep.gcRemoved, bytes)
}

// Evicted tells of content of a kind that was removed for the quota.
func (m *Metrics) Evicted(kind string, bytes int64) {
	if m != nil {
		add(m.upkeep.evicted.WithLabelValues(known(kind, "chunk", "delta", "source", "original", "served")), bytes)
	}
}

// Scrubbed tells how many bytes were read and compared.
func (m *Metrics) Scrubbed(bytes int64) {
	if m != nil {
		add(m.upkeep.scrubbed, bytes)
	}
}

// Damaged tells of an object that was found damaged, and what became of it.
func (m *Metrics) Damaged(outcome string) {
	if m != nil {
		m.upkeep.damaged.WithLabelValues(known(outcome, "fetched", "made", "later", "served", "lost", "unneeded")).Inc()
	}
}
