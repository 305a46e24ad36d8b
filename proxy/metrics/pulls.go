package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxRepositories bounds how many repositories have a label of their own; those that come later count as "other".
const maxRepositories = 1000

// repositories are those that have a label. It is safe for concurrent use.
type repositories struct {
	mu    sync.Mutex
	known map[string]struct{}
}

func (r *repositories) label(repository string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[repository]; ok {
		return repository
	}
	if len(r.known) >= maxRepositories {
		return other
	}
	if r.known == nil {
		r.known = map[string]struct{}{}
	}
	r.known[repository] = struct{}{}
	return repository
}

// Pulled tells that a client got the image of a tag. Only repositories whose images were given to somebody get a label, so
// that names which clients invent have none.
func (m *Metrics) Pulled(repository string) {
	if m != nil {
		m.pulls.WithLabelValues(m.repositories.label(repository)).Inc()
	}
}

// answered notes when an upstream was last of use.
func (m *Metrics) answered(host string, status int, now time.Time) {
	if status < 500 && status != 429 {
		m.upstreamAnswered.WithLabelValues(m.host(host)).Set(float64(now.Unix()))
	}
}

// WatchJobs adds how many jobs wait for their turn to reg. It panics when reg has that already.
func (m *Metrics) WatchJobs(reg prometheus.Registerer, waiting func() int) {
	reg.MustRegister(prometheus.NewGaugeFunc(gauge("jobs_waiting", "Rechunking jobs that wait for their turn."),
		func() float64 { return float64(waiting()) }))
}

// certificateTimes is a prometheus.Collector.
type certificateTimes struct {
	ends   func() map[string]time.Time
	expiry *prometheus.Desc
}

// WatchCertificates adds when the listeners' certificates expire to reg, by the listeners' names. It panics when reg has
// that already.
func (m *Metrics) WatchCertificates(reg prometheus.Registerer, ends func() map[string]time.Time) {
	reg.MustRegister(&certificateTimes{ends, prometheus.NewDesc(
		prometheus.BuildFQName(namespace, "", "certificate_expiry_timestamp_seconds"),
		"When a listener's certificate expires.", []string{"listener"}, nil)})
}

// Describe implements prometheus.Collector.
func (c *certificateTimes) Describe(ch chan<- *prometheus.Desc) { ch <- c.expiry }

// Collect implements prometheus.Collector.
func (c *certificateTimes) Collect(ch chan<- prometheus.Metric) {
	for listener, end := range c.ends() {
		ch <- prometheus.MustNewConstMetric(c.expiry, prometheus.GaugeValue, float64(end.Unix()), listener)
	}
}
