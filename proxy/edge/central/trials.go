package central

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// trials are what was found out about the wrapped files of a layer. It is safe for concurrent use.
type trials struct {
	mu    sync.Mutex
	rec   catalog.Trials
	fresh bool // something was added
}

var _ delta.Trials = (*trials)(nil)

// recall returns what is known of a layer's files.
func (c *Central) recall(ctx context.Context, layer digest.Digest) (*trials, error) {
	rec, err := c.Records.Trials.Get(ctx, layer)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		rec = &catalog.Trials{}
	}
	tried := maps.Clone(rec.Tried)
	if tried == nil {
		tried = map[string][2]int{}
	}
	return &trials{rec: catalog.Trials{
		Encoders: slices.Clone(rec.Encoders), Programs: slices.Clone(rec.Programs), Tried: tried,
	}}, nil
}

// remember stores what was found out. What is lost is tried again.
func (c *Central) remember(ctx context.Context, layer digest.Digest, t *trials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.fresh {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
	defer stop()
	if err := c.Records.Trials.Put(ctx, layer, &t.rec); err != nil {
		c.Logger.WarnContext(ctx, "what was tried on the files of a layer could not be noted", "layer", layer.String(),
			"error",
			err)
	}
}

// Tried implements delta.Trials.
func (t *trials) Tried(_ context.Context, wrapped tree.Digest) (wrap.Trial, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.rec.Tried[hex.EncodeToString(wrapped[:])]
	if !ok {
		return wrap.Trial{}, false, nil
	}
	var out wrap.Trial
	for _, text := range t.rec.Programs[at[1]] {
		out.Programs = append(out.Programs, program(text))
	}
	if at[0] >= 0 {
		e := t.rec.Encoders[at[0]]
		out.Encoder = &wrap.Encoder{Program: e.Program, Version: e.Version, Args: slices.Clone(e.Args)}
	}
	return out, true, nil
}

// Remember implements delta.Trials. What is too much to remember is tried again.
func (t *trials) Remember(_ context.Context, wrapped tree.Digest, found wrap.Trial) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := hex.EncodeToString(wrapped[:])
	if _, ok := t.rec.Tried[key]; !ok && len(t.rec.Tried) >= catalog.MaxTrials {
		return nil
	}
	at := [2]int{-1, 0}
	if found.Encoder != nil {
		e := catalog.TriedEncoder{Program: found.Encoder.Program, Version: found.Encoder.Version,
			Args: slices.Clone(found.Encoder.Args)}
		at[0] = slices.IndexFunc(t.rec.Encoders, func(o catalog.TriedEncoder) bool {
			return o.Program == e.Program && o.Version == e.Version && slices.Equal(o.Args, e.Args)
		})
		if at[0] < 0 {
			if len(t.rec.Encoders) >= maxTriedEncoders {
				return nil
			}
			at[0] = len(t.rec.Encoders)
			t.rec.Encoders = append(t.rec.Encoders, e)
		}
	}
	programs := programsOf(found.Programs)
	slices.Sort(programs)
	at[1] = slices.IndexFunc(t.rec.Programs, func(o []string) bool { return slices.Equal(o, programs) })
	if at[1] < 0 {
		if len(t.rec.Programs) >= maxTriedPrograms {
			return nil
		}
		at[1] = len(t.rec.Programs)
		t.rec.Programs = append(t.rec.Programs, programs)
	}
	t.rec.Tried[key] = at
	t.fresh = true
	return nil
}

// What is remembered of a layer beside its files; there are a handful of each.
const (
	maxTriedEncoders = 4096
	maxTriedPrograms = 64
)
