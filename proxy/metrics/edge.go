package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// edge is what comes from other Stratas.
type edge struct {
	layers         *prometheus.CounterVec
	bytes, saved   prometheus.Counter
	wrapping       prometheus.Counter
	wholeBecauseOf []string
}

func newEdge(f promauto.Factory) edge {
	return edge{
		layers: f.NewCounterVec(counter("edge_layers_total",
			"Layers that came from another Strata: as deltas, or whole and why."),
			[]string{"how", "reason"}),
		bytes: f.NewCounter(counter("edge_delta_bytes_total", "Bytes of deltas that layers were made of.")),
		saved: f.NewCounter(counter("edge_saved_bytes_total",
			"Bytes of layers that were made of deltas, less those of the deltas.")),
		wrapping: f.NewCounter(counter("edge_wrapping_seconds_total",
			"Time in which files were compressed again, that of waiting for a turn included.")),
		wholeBecauseOf: []string{
			"central", "seed", "refused", "wait", "slow", "again", "link", "source", "encoder", "delta", "digest", "space",
			"local",
		},
	}
}

// EdgeDelta tells of a layer that was made of a delta, and how many bytes less that is than the layer.
func (m *Metrics) EdgeDelta(bytes, saved int64) {
	if m != nil {
		m.edge.layers.WithLabelValues("delta", "").Inc()
		add(m.edge.bytes, bytes)
		add(m.edge.saved, saved)
	}
}

// EdgeWhole tells of a layer that was fetched whole, and why.
func (m *Metrics) EdgeWhole(reason string) {
	if m != nil {
		m.edge.layers.WithLabelValues("whole", known(reason, m.edge.wholeBecauseOf...)).Inc()
	}
}

// EdgeWrapped tells how long a file was compressed again.
func (m *Metrics) EdgeWrapped(d time.Duration) {
	if m != nil && d > 0 {
		m.edge.wrapping.Add(d.Seconds())
	}
}
