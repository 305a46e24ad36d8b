package metrics

import "time"

// ConnectionLimit is a reason to close a connection as it comes.
type ConnectionLimit string

// The reasons.
const (
	AllConnections     ConnectionLimit = "all"     // too many are open
	AddressConnections ConnectionLimit = "address" // too many from there
)

// ConnectionRefused tells that a connection was closed as it came.
func (m *Metrics) ConnectionRefused(limit ConnectionLimit) {
	if m != nil {
		m.refused.WithLabelValues(string(limit)).Inc()
	}
}

// Reloaded tells whether a configuration was taken over, at the start or later.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	switch {
	case m == nil:
	case ok:
		m.reloaded.Set(1)
		m.reloadTime.Set(float64(at.UnixMilli()) / 1000)
	default:
		m.reloaded.Set(0)
	}
}
