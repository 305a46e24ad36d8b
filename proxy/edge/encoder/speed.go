package encoder

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// speed adds up what runs took, and what they were to take.
type speed struct {
	mu    sync.Mutex
	taken map[string]*took
}

// took is of one program: seconds, and seconds by wrap.Encoder.Seconds.
type took struct{ seconds, model float64 }

// window is how many seconds of runs count: older ones fade, as a machine's load changes.
const window = 60

// add tells of a run that ended well. Short ones say more of processes than of bytes.
func (s *speed) add(e wrap.Encoder, plain int64, d time.Duration) {
	if plain < 64<<10 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = map[string]*took{}
	}
	t := s.taken[e.Program]
	if t == nil {
		t = &took{}
		s.taken[e.Program] = t
	}
	t.seconds += d.Seconds()
	t.model += e.Seconds(plain)
	if t.seconds > window {
		fade := window / t.seconds
		*t = took{t.seconds * fade, t.model * fade}
	}
}

// Pace is how many seconds this machine takes for one second of wrap.Encoder.Seconds, at one run at a time: 2 is half as
// fast. 1 before anything has run.
func (e *Encoders) Pace() float64 {
	e.speed.mu.Lock()
	defer e.speed.mu.Unlock()
	var seconds, model float64
	for _, t := range e.speed.taken {
		seconds += t.seconds
		model += t.model
	}
	if model <= 0 {
		return 1
	}
	return seconds / model
}

// Measure runs each program on 2 MiB once, so that Pace knows it; a second of a core in all.
func (e *Encoders) Measure(ctx context.Context) error {
	for _, p := range e.programs {
		enc := wrap.Encoder{Program: p.Name, Version: p.Version, Args: []string{"-6"}}
		if err := e.Encode(ctx, enc, sample(2<<20), io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// sample returns n bytes that compress about as well as programs do, always the same.
func sample(n int) io.Reader {
	out, state := make([]byte, 0, n+32), uint64(1)
	for len(out) < n {
		state = state*6364136223846793005 + 1442695040888963407
		out = strconv.AppendUint(out, state>>(20+state>>61), 36)
		out = append(out, "the quick brown fox jumps over"[state>>60:]...)
	}
	return bytes.NewReader(out[:n])
}
