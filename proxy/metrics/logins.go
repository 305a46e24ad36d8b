package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// LoginNotification is the way of a registry's secret among those of logins that are refused.
const LoginNotification = "notification"

// loginWays are what operators log in with, with the names that proxy/admin gives them.
func loginWays() []string {
	return []string{"token", "password", "page", "session", LoginNotification, other}
}

func newLogins(f promauto.Factory) *prometheus.CounterVec {
	c := f.NewCounterVec(counter("operator_logins_refused_total", "Wrong logins at the operators' listener."), []string{"way"})
	for _, way := range loginWays() {
		c.WithLabelValues(way) // so that the first one of a kind is an increase
	}
	return c
}

// LoginRefused counts a wrong login at the operators' listener.
func (m *Metrics) LoginRefused(way string) {
	if m == nil {
		return
	}
	if !slices.Contains(loginWays(), way) {
		way = other
	}
	m.logins.WithLabelValues(way).Inc()
}
