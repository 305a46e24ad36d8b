// Package pulls counts what clients pull, without knowing who they are.
//
// A client fetches the layers that it lacks, and what it lacks tells how old its image is: a layer that the version before
// had already is fetched by those only who are further behind. So the differences between the counts of an image's layers
// are the lags of the clients that pulled it (Observe). No client is told from another; the counts of replicas add up.
//
// A Tally counts in memory and passes on what it counted to Counters, which all replicas share.
package pulls

import (
	"context"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
)

// Counts are the pulls of one image.
type Counts struct {
	// Last is when a client last asked for the manifest, to the hour or so; zero when none did.
	Last time.Time
	// Layers are how often each layer was sent to its end to clients that pulled this image.
	Layers map[digest.Digest]int64
}

// Plus returns the sum of two counts, with the later of their times. It changes neither.
func (c Counts) Plus(o Counts) Counts {
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
	if len(o.Layers) == 0 {
		return c
	}
	sum := make(map[digest.Digest]int64, len(c.Layers)+len(o.Layers))
	maps.Copy(sum, c.Layers)
	for d, n := range o.Layers {
		sum[d] += n
	}
	c.Layers = sum
	return c
}

// Counters keep counts by the manifest's digest, for all replicas. They are safe for concurrent use.
type Counters interface {
	// Add adds to the counts of a manifest; the later of the two times stays. After an error it may have added or not.
	Add(ctx context.Context, manifest digest.Digest, delta Counts) error
	// Get returns the counts of a manifest, and zero ones for a manifest that was never pulled.
	Get(ctx context.Context, manifest digest.Digest) (Counts, error)
	// Forget drops the counts of a manifest. To forget what is not there is no error.
	Forget(ctx context.Context, manifest digest.Digest) error
}
