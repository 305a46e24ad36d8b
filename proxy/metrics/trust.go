package metrics

// Verified counts an image whose signatures were checked.
func (m *Metrics) Verified(passed bool) {
	if m == nil {
		return
	}
	result := "refused"
	if passed {
		result = "passed"
	}
	m.verified.WithLabelValues(result).Inc()
}

// WentBack counts a tag that went back to an earlier image, signed or not, and was not followed.
func (m *Metrics) WentBack() {
	if m != nil {
		m.verified.WithLabelValues("rollback").Inc()
	}
}

// Signed counts a served image that was signed, or could not be.
func (m *Metrics) Signed(err error) {
	if m == nil {
		return
	}
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.signed.WithLabelValues(result).Inc()
}
