package metrics

// Panicked tells that a panic was caught, and where: in a job, a download, a handler, …
func (m *Metrics) Panicked(where string) {
	if m != nil {
		m.panics.WithLabelValues(where).Inc()
	}
}
