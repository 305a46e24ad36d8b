package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// deltas count what is made for other Stratas.
type deltas struct {
	made, madeBytes, layerBytes prometheus.Counter
	seconds                     prometheus.Histogram
	refused, answers            *prometheus.CounterVec
	waiting, running, stored    prometheus.Gauge
	artifacts                   *prometheus.CounterVec
	artifactsWaiting            prometheus.Gauge
}

func newDeltas(f promauto.Factory) deltas {
	return deltas{
		made: f.NewCounter(counter("deltas_made_total",
			"Deltas that were made, or came from the central above, and stored.")),
		madeBytes:  f.NewCounter(counter("deltas_made_bytes_total", "Bytes of these deltas.")),
		layerBytes: f.NewCounter(counter("deltas_layer_bytes_total", "Bytes of the layers that these deltas make.")),
		seconds: f.NewHistogram(seconds("deltas_seconds", "How long making a delta took.",
			.1, .5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 3600)),
		refused: f.NewCounterVec(counter("deltas_refused_total", "Questions for deltas that are not to be had."),
			[]string{"reason"}),
		answers: f.NewCounterVec(counter("deltas_answers_total", "Answers to questions for deltas."), []string{"answer"}),
		waiting: f.NewGauge(gauge("deltas_waiting", "Deltas that wait for their turn.")),
		running: f.NewGauge(gauge("deltas_running", "Deltas that are being made.")),
		stored:  f.NewGauge(gauge("deltas_stored_bytes", "Bytes of deltas in the store.")),
		artifacts: f.NewCounterVec(counter("artifacts_total",
			"Delta artifacts that rules ask for, by how making them ended."),
			[]string{"result"}),
		artifactsWaiting: f.NewGauge(gauge("artifacts_waiting",
			"Images that wait for the delta artifacts that lead to them.")),
	}
}

// DeltaMade tells of a delta that was stored: its bytes, those of the layer that it makes, and how long it took.
func (m *Metrics) DeltaMade(bytes, layerBytes int64, seconds float64) {
	if m == nil {
		return
	}
	m.deltas.made.Inc()
	add(m.deltas.madeBytes, bytes)
	add(m.deltas.layerBytes, layerBytes)
	m.deltas.seconds.Observe(seconds)
}

// DeltaRefused tells why a client was told that there is no delta.
func (m *Metrics) DeltaRefused(reason string) {
	if m != nil {
		m.deltas.refused.WithLabelValues(known(reason, "seed", "layer", "gain", "size", "failed", "off")).Inc()
	}
}

// DeltaAnswered tells how a question for a delta was answered.
func (m *Metrics) DeltaAnswered(answer string) {
	if m != nil {
		m.deltas.answers.WithLabelValues(known(answer, "stored", "made", "pending", "refused", "failed")).Inc()
	}
}

// Deltas tells how many wait and are being made, and how many bytes of them are stored.
func (m *Metrics) Deltas(waiting, running int, storedBytes int64) {
	if m != nil {
		m.deltas.waiting.Set(float64(waiting))
		m.deltas.running.Set(float64(running))
		m.deltas.stored.Set(float64(storedBytes))
	}
}

// ArtifactMade counts a delta artifact that was made, or could not be.
func (m *Metrics) ArtifactMade(err error) {
	if m == nil {
		return
	}
	result := "made"
	if err != nil {
		result = "failed"
	}
	m.deltas.artifacts.WithLabelValues(result).Inc()
}

// ArtifactsWaiting tells how many images wait for delta artifacts.
func (m *Metrics) ArtifactsWaiting(images int) {
	if m != nil {
		m.deltas.artifactsWaiting.Set(float64(images))
	}
}
