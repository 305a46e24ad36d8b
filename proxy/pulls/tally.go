package pulls

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

const (
	// lastEvery is how often the time of a manifest's last pull is noted.
	lastEvery = time.Hour
	// flushEvery is how often what was counted is passed on.
	flushEvery = time.Minute
	// flushTimeout bounds the last flush, at the end of the process.
	flushTimeout = 5 * time.Second
	// maxImages bounds the images that a tally has in mind, and with them its memory to some megabytes.
	maxImages = 1024
)

// Options are what a Tally is made of. Counters are needed.
type Options struct {
	Counters Counters
	// Now is the clock; time.Now by default.
	Now    func() time.Time
	Logger *slog.Logger
}

// Tally counts the pulls of this process. It is safe for concurrent use. A nil Tally counts nothing.
type Tally struct {
	Options
	mu     sync.Mutex
	images *simplelru.LRU[digest.Digest, *pulled]
	// holders are the images in mind that have a layer.
	holders map[digest.Digest][]*pulled
	asked   uint64 // manifests that were asked for
	pending map[digest.Digest]Counts
	noted   bool // that counts were dropped because they could not be passed on
}

// pulled is an image that clients asked for lately.
type pulled struct {
	manifest digest.Digest
	layers   []digest.Digest
	asked    uint64 // position among all that were asked for
	last     time.Time
}

// New makes a tally. Run passes on what it counts.
func New(o Options) *Tally {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Tally{Options: o, holders: map[digest.Digest][]*pulled{}, pending: map[digest.Digest]Counts{}}
	t.images, _ = simplelru.NewLRU(maxImages, t.dropped) // fails for sizes below 1 only
	return t
}

// dropped forgets which layers an image has. The caller holds t.mu.
func (t *Tally) dropped(_ digest.Digest, img *pulled) {
	for _, l := range img.layers {
		left := slices.DeleteFunc(t.holders[l], func(o *pulled) bool { return o == img })
		if t.holders[l] = left; len(left) == 0 {
			delete(t.holders, l)
		}
	}
}

// Manifest notes that a client asked for a manifest, by tag or digest. layers lists the layers whose downloads are to be
// counted; it is called when the image is new to the tally.
func (t *Tally) Manifest(manifest digest.Digest, layers func() []digest.Digest) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	img, known := t.images.Get(manifest)
	if !known {
		img = &pulled{manifest: manifest, layers: slices.Compact(slices.Sorted(slices.Values(layers())))}
		if len(img.layers) > catalog.MaxPulledLayers {
			img.layers = nil
		}
		for _, l := range img.layers {
			t.holders[l] = append(t.holders[l], img)
		}
		t.images.Add(manifest, img)
	}
	t.asked++
	img.asked = t.asked
	if now := t.Now(); now.Sub(img.last) >= lastEvery {
		img.last = now
		t.count(manifest, Counts{Last: now.UTC().Truncate(time.Second)})
	}
}

// Layer counts that a layer was sent to a client, to its last byte. It belongs to the image that clients asked for last, of
// those that have the layer: they ask for the manifest first. A layer of no image in mind is not counted.
func (t *Tally) Layer(layer digest.Digest) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var of *pulled
	for _, img := range t.holders[layer] {
		if of == nil || img.asked > of.asked {
			of = img
		}
	}
	if of == nil {
		return
	}
	p, ok := t.pending[of.manifest]
	if !ok || p.Layers == nil {
		t.count(of.manifest, Counts{Layers: map[digest.Digest]int64{layer: 1}})
		return
	}
	p.Layers[layer]++ // the map is the tally's own
}

// count adds to what is to be passed on. The caller holds t.mu.
func (t *Tally) count(manifest digest.Digest, c Counts) {
	if _, known := t.pending[manifest]; known || len(t.pending) < 2*maxImages {
		t.pending[manifest] = t.pending[manifest].Plus(c)
	}
}

// Counts returns the counts of a manifest, what was not yet passed on included.
func (t *Tally) Counts(ctx context.Context, manifest digest.Digest) (Counts, error) {
	if t == nil {
		return Counts{}, nil
	}
	stored, err := t.Counters.Get(ctx, manifest)
	if err != nil {
		return Counts{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Counts{}.Plus(stored).Plus(t.pending[manifest]), nil
}

// LastPull returns when a client last asked for a manifest, to the hour or so; zero when none did.
func (t *Tally) LastPull(ctx context.Context, manifest digest.Digest) (time.Time, error) {
	c, err := t.Counts(ctx, manifest)
	return c.Last, err
}

// Flush passes on what was counted. What cannot be passed on is kept for the next time.
func (t *Tally) Flush(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	all := t.pending
	t.pending = map[digest.Digest]Counts{}
	t.mu.Unlock()
	var failed []error
	for manifest, c := range all {
		err := t.Counters.Add(ctx, manifest, c)
		if err == nil {
			continue
		}
		failed = append(failed, err)
		t.mu.Lock()
		t.count(manifest, c)
		t.mu.Unlock()
	}
	if len(failed) > 3 {
		failed = failed[:3] // they are alike
	}
	return errors.Join(failed...)
}

// Run passes on what is counted, every minute until ctx ends and once more then.
func (t *Tally) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.report(ctx, t.Flush(ctx))
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer stop()
			t.report(last, t.Flush(last))
			return
		}
	}
}

// report logs that pulls could not be passed on, the first of several times in turn.
func (t *Tally) report(ctx context.Context, err error) {
	if err != nil && !t.noted && ctx.Err() == nil {
		t.Logger.WarnContext(ctx, "pulls could not be recorded, they are kept and tried again", "error", err)
	}
	t.noted = err != nil
}
