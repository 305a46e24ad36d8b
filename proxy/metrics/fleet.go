package metrics

import "strconv"

// mostHosts bounds the numbers of hosts that are told, and with them the label values.
const mostHosts = 4000

// HostCount is how many hosts of a tag are so many versions behind.
type HostCount struct {
	Repository, Tag string
	Lag, Hosts      int
}

// Hosts replaces what is told of hosts. A lag of 8 stands for all that are further behind, and for those of which nobody
// knows.
func (m *Metrics) Hosts(counts []HostCount) {
	if m == nil {
		return
	}
	m.fleet.Reset()
	for _, c := range counts[:min(len(counts), mostHosts)] {
		lag := "8"
		if c.Lag >= 0 && c.Lag < 8 {
			lag = strconv.Itoa(c.Lag)
		}
		m.fleet.WithLabelValues(c.Repository, c.Tag, lag).Add(float64(c.Hosts))
	}
}
