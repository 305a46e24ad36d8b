package metrics

import "github.com/prometheus/client_golang/prometheus"

// WatchRedis adds the metric of whether Redis answers to reg. It panics when reg has it already.
func (m *Metrics) WatchRedis(reg prometheus.Registerer, up func() bool) {
	reg.MustRegister(prometheus.NewGaugeFunc(gauge("redis_up", "1 while Redis answers, 0 while this replica goes on alone."),
		func() float64 {
			if up() {
				return 1
			}
			return 0
		}))
}
