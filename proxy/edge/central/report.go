package central

import (
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/edge/pairs"
)

// Report tells of deltas: the answer to GET /api/v1/deltas.
type Report struct {
	// Formats are the versions that are made; empty while none are.
	Formats string `json:"formats,omitempty"`
	Totals
	// Deltas are those that are stored, refused, wait or are being made, the latest first, at most 1,000.
	Deltas []pairs.Pair `json:"deltas"`
}

// Totals add up what there is.
type Totals struct {
	// Stored deltas take Bytes, at most KeepBytes, and make layers of LayerBytes.
	Stored     int   `json:"stored"`
	Bytes      int64 `json:"bytes"`
	KeepBytes  int64 `json:"keep_bytes"`
	LayerBytes int64 `json:"layer_bytes"`
	// Refused counts by reason what is known not to be had.
	Refused map[string]int `json:"refused"`
	Waiting int            `json:"waiting"`
	Running int            `json:"running"`
}

// Totals returns the totals.
func (c *Central) Totals() Totals {
	t := Totals{KeepBytes: c.Keep(), Refused: map[string]int{}}
	t.Waiting, t.Running = c.line.waiting()
	now := c.Now()
	c.shelf.list(func(_ catalog.DeltaKey, e entry) {
		if e.Digest != "" {
			t.Stored++
			t.Bytes += e.Size
			t.LayerBytes += e.BlobSize
		} else if now.Before(e.Until) {
			t.Refused[e.Refused]++
		}
	})
	return t
}

// Report returns what there is.
func (c *Central) Report() Report {
	out := Report{Formats: c.Formats(), Totals: c.Totals(), Deltas: []pairs.Pair{}}
	now := c.Now()
	c.shelf.list(func(k catalog.DeltaKey, e entry) {
		if e.Digest != "" || now.Before(e.Until) {
			out.Deltas = append(out.Deltas, pairOf(k, e))
		}
	})
	c.mu.Lock()
	for _, j := range c.jobs {
		out.Deltas = append(out.Deltas, j.report())
	}
	c.mu.Unlock()
	out.Deltas = pairs.Latest(out.Deltas)
	return out
}

func pairOf(k catalog.DeltaKey, e entry) pairs.Pair {
	p := pairs.Pair{
		State: pairs.Stored, Repository: e.Repository, Seed: k.Seed.String(), Layer: k.Layer.String(),
		LayerBytes: e.BlobSize, Bytes: e.Size, Worth: e.Worth, Allowed: e.Allowed, Needs: e.Needs, At: e.At,
		Seconds: e.Seconds, EncoderSeconds: e.Cost, Refused: e.Refused, Message: e.Message, Until: e.Until,
	}
	if e.Refused != "" {
		p.State = pairs.Refused
	}
	p.Measure()
	return p
}

func (j *job) report() pairs.Pair {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := pairs.Pair{
		State: pairs.Waiting, Repository: j.repo.String(), Seed: j.key.Seed.String(), Layer: j.layer.String(),
		LayerBytes: j.size, Worth: j.worth, Allowed: j.allowed, At: j.since.UTC(),
	}
	if j.streaming {
		p.State = pairs.Running
	}
	return p
}
