package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	crowdClients   = 1000
	crowdDownloads = 64
)

// crowd measures how long a manifest takes while a thousand clients ask for it once a second each and 64 others fetch blobs:
// once a second each, which is what a fast network takes, and as fast as they get them, which is all that the machine gives.
// Both have been at it for a second when the measurement begins: what a thousand connections at once take is another
// question.
func (b *bench) crowd(ctx context.Context, ours, registry served) error {
	for _, load := range []struct {
		what  string
		every time.Duration
	}{
		{"64 downloads a second", time.Second},
		{"full blob load", 0},
	} {
		if err := b.crowdBeside(ctx, load.what, load.every, ours, registry); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) crowdBeside(ctx context.Context, load string, every time.Duration, ours, registry served) error {
	a, c := &loaded{served: ours}, &loaded{served: registry}
	for round := range b.rounds {
		for _, l := range []*loaded{a, c} {
			rate, err := b.crowded(ctx, l, every)
			if err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
			b.say("1,000 clients beside %s (%.0f MiB/s), round %d: %s p50 %.1f ms, p99 %.1f ms",
				load, rate, round+1, l.Name, l.p50[round], l.p99[round])
		}
	}
	what := "manifest by tag, 1,000 connections once a second each, beside " + load
	b.add(
		compared(what+", p50", a.p50, c.p50, c.Name, unit("ms"), goal{}),
		compared(what+", p99", a.p99, c.p99, c.Name, unit("ms"), goal{}),
		alone(what+", p99", a.p99, unit("ms"), atMost(10, " ms")),
	)
	return nil
}

// crowded puts a server under both loads once and returns what was downloaded, in MiB a second.
func (b *bench) crowded(ctx context.Context, l *loaded, every time.Duration) (float64, error) {
	var blobs loadResult
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s := loadSpec{
			Address: l.Address, Path: l.blob, Connections: crowdDownloads, Every: every, Duration: b.window + 2*time.Second,
			Buffer: blobBuffer,
		}
		blobs, err = s.generate(gctx)
		return err
	})
	g.Go(func() error {
		s := loadSpec{
			Address: l.Address, Path: l.byTag, Connections: crowdClients, Every: time.Second, Lead: time.Second,
			Duration: b.window,
			Buffer:   manifestBuffer,
		}
		r, err := s.generate(gctx)
		l.note(r)
		return err
	})
	err := g.Wait()
	return blobs.mibPerSecond(), err
}
