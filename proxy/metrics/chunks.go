package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// chunks count what is made for clients of casync.
type chunks struct {
	images *prometheus.CounterVec
	bytes  prometheus.Counter
}

func newChunks(f promauto.Factory) chunks {
	c := chunks{
		images: f.NewCounterVec(counter("chunked_images_total", "Images that were cut into chunks."), []string{"result"}),
		bytes:  f.NewCounter(counter("chunked_bytes_total", "Bytes of layers, unpacked, that were cut into chunks.")),
	}
	for _, result := range []string{"done", "failed"} {
		c.images.WithLabelValues(result) // so that the first one of a kind is an increase
	}
	return c
}

// LayerCut tells of a layer that was cut into chunks, with so many bytes of tar stream.
func (m *Metrics) LayerCut(bytes int64) {
	if m != nil {
		add(m.chunks.bytes, bytes)
	}
}

// ImageCut tells of an image of which chunks were made, or could not be.
func (m *Metrics) ImageCut(err error) {
	if m == nil {
		return
	}
	result := "done"
	if err != nil {
		result = "failed"
	}
	m.chunks.images.WithLabelValues(result).Inc()
}
