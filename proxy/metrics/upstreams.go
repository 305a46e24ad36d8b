package metrics

import "github.com/prometheus/client_golang/prometheus"

// UpstreamState is how an upstream fares at the moment.
type UpstreamState struct {
	Host string
	// Breaker is 0 while the upstream is asked, 1 while one request tries whether it is back, 2 while it is left alone.
	Breaker float64
	Paused  bool // it has asked to be left alone
	Running int64
	Held    int64 // requests not sent since the start
	// BudgetKnown says that the upstream tells what it grants, in requests.
	BudgetKnown                  bool
	BudgetLimit, BudgetRemaining int64
}

// upstreamStates asks for the state of upstreams whenever the metrics are read.
type upstreamStates struct {
	m      *Metrics
	states func() []UpstreamState

	breaker, paused, running, held, limit, remaining *prometheus.Desc
}

// WatchUpstreams adds the metrics of upstreams' states to reg. Hosts that New was not given are left out. It panics when reg
// has them already.
func (m *Metrics) WatchUpstreams(reg prometheus.Registerer, states func() []UpstreamState) {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "upstream", name), help, []string{"host"}, nil)
	}
	reg.MustRegister(&upstreamStates{
		m: m, states: states,
		breaker:   desc("breaker_state", "0: asked; 1: being tried again; 2: left alone after failures."),
		paused:    desc("paused", "1 while the upstream, which limited the rate, is left alone."),
		running:   desc("requests_running", "Requests under way to the upstream and where it leads."),
		held:      desc("requests_held_total", "Requests that were not sent: breaker, rate limits, budget."),
		limit:     desc("budget_limit", "Requests that the upstream grants in its window."),
		remaining: desc("budget_remaining", "Requests that are left of them."),
	})
}

// Describe implements prometheus.Collector.
func (u *upstreamStates) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{u.breaker, u.paused, u.running, u.held, u.limit, u.remaining} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (u *upstreamStates) Collect(ch chan<- prometheus.Metric) {
	for _, s := range u.states() {
		if u.m.host(s.Host) == other {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.Host)
		}
		paused := 0.0
		if s.Paused {
			paused = 1
		}
		gauge(u.breaker, s.Breaker)
		gauge(u.paused, paused)
		gauge(u.running, float64(s.Running))
		ch <- prometheus.MustNewConstMetric(u.held, prometheus.CounterValue, float64(s.Held), s.Host)
		if s.BudgetKnown {
			gauge(u.limit, float64(s.BudgetLimit))
			gauge(u.remaining, float64(s.BudgetRemaining))
		}
	}
}
