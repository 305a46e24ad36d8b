package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// pulled counts what pulls took, and what they would have taken of the sources. What was saved is the difference, which may
// become less and so is no counter.
type pulled struct {
	sent, source prometheus.Counter
}

func newPulled(f promauto.Factory) pulled {
	return pulled{
		sent: f.NewCounter(counter("pulled_bytes_total", "Bytes that pulls took of images that were made here.")),
		source: f.NewCounter(counter("pulled_source_bytes_total",
			"Bytes that these pulls would have taken of the source images.")),
	}
}

// Saved tells what pulls took, and what they would have taken of the sources.
func (m *Metrics) Saved(sent, source int64) {
	if m != nil {
		add(m.pulled.sent, sent)
		add(m.pulled.source, source)
	}
}
