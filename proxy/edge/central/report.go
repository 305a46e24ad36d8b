package central

import (
	"cmp"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Report tells of deltas: the answer to GET /api/v1/deltas.
type Report struct {
	// Formats are the versions that are made; empty while none are.
	Formats string `json:"formats,omitempty"`
	Totals
	// Deltas are those that are stored, refused, wait or are being made, the latest first, at most 1,000.
	Deltas []Pair `json:"deltas"`
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

// States of a Pair.
const (
	StateStored  = "stored"
	StateRefused = "refused"
	StateWaiting = "waiting"
	StateRunning = "running"
)

// Pair is a delta of a layer for those who have the image of a seed.
type Pair struct {
	State      string `json:"state"`
	Repository string `json:"repository,omitempty"`
	Seed       string `json:"seed,omitempty"`
	Layer      string `json:"layer"`
	LayerBytes int64  `json:"layer_bytes"`
	Bytes      int64  `json:"bytes,omitempty"`
	// Ratio is Bytes ÷ LayerBytes.
	Ratio float64 `json:"ratio,omitempty"`
	Worth int64   `json:"worth"`
	// Allowed are the programs that it might need, Needs those that it does.
	Allowed []string `json:"allowed,omitempty"`
	Needs   []string `json:"needs,omitempty"`
	// At is when it was made, refused or asked for; Seconds what making it took, EncoderSeconds what applying it takes.
	At             time.Time `json:"at"`
	Seconds        float64   `json:"seconds,omitempty"`
	EncoderSeconds float64   `json:"encoder_seconds,omitempty"`
	// Refused is the reason why there is none, Message says more, Until is when it is tried again.
	Refused string    `json:"refused,omitempty"`
	Message string    `json:"message,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// maxReported bounds a report.
const maxReported = 1000

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
	out := Report{Formats: c.Formats(), Totals: c.Totals(), Deltas: []Pair{}}
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
	slices.SortFunc(out.Deltas, func(a, b Pair) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Seed, b.Seed))
	})
	out.Deltas = out.Deltas[:min(len(out.Deltas), maxReported)]
	return out
}

func pairOf(k catalog.DeltaKey, e entry) Pair {
	p := Pair{
		State: StateStored, Repository: e.Repository, Seed: k.Seed.String(), Layer: k.Layer.String(), LayerBytes: e.BlobSize,
		Bytes: e.Size, Worth: e.Worth, Allowed: e.Allowed, Needs: e.Needs, At: e.At, Seconds: e.Seconds,
		EncoderSeconds: e.Cost,
		Refused:        e.Refused, Message: e.Message, Until: e.Until,
	}
	if e.Refused != "" {
		p.State = StateRefused
	} else if e.BlobSize > 0 {
		p.Ratio = float64(e.Size) / float64(e.BlobSize)
	}
	return p
}

func (j *job) report() Pair {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := Pair{
		State: StateWaiting, Repository: j.repo.String(), Seed: j.key.Seed.String(), Layer: j.layer.String(),
		LayerBytes: j.size,
		Worth:      j.worth, Allowed: j.allowed, At: j.since.UTC(),
	}
	if j.streaming {
		p.State = StateRunning
	}
	return p
}
