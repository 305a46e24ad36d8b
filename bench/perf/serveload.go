package main

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-oci/strata/rechunk/legible"
)

const (
	blobBuffer     = 256 << 10
	manifestBuffer = 32 << 10
)

// loaded are the figures of one server over the rounds.
type loaded struct {
	served
	rate, bytes   sample // requests and MiB a second
	p50, p99      sample // milliseconds
	cpuPerRequest sample // microseconds of the server's
	cpuPerGiB     sample // seconds of the server's
}

// under puts a server under load once.
func (l *loaded) under(ctx context.Context, spec loadSpec) error {
	spec.Address = l.Address
	before := l.CPU()
	r, err := spec.generate(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	spent := l.CPU() - before
	l.rate = append(l.rate, r.perSecond())
	l.bytes = append(l.bytes, r.mibPerSecond())
	l.note(r)
	l.cpuPerRequest = append(l.cpuPerRequest, float64(spent.Microseconds())/float64(r.Requests))
	l.cpuPerGiB = append(l.cpuPerGiB, seconds(spent)/(float64(r.Bytes)/gib))
	return nil
}

func (l *loaded) note(r loadResult) {
	l.p50 = append(l.p50, milliseconds(r.P50))
	l.p99 = append(l.p99, milliseconds(r.P99))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// blobs measures one hot blob.
func (b *bench) blobs(ctx context.Context, size int64, ours, registry served, files *served) error {
	for _, connections := range []int{1, 64} {
		what := fmt.Sprintf("hot blob of %.0f MiB, %s", mebibytes(size), legible.Count(connections, "connection"))
		a, c, n := &loaded{served: ours}, &loaded{served: registry}, (*loaded)(nil)
		all := []*loaded{a, c}
		if files != nil {
			n = &loaded{served: *files}
			all = append(all, n)
		}
		for round := range b.rounds {
			for _, l := range all {
				spec := loadSpec{Path: l.blob, Connections: connections, Duration: b.window, Buffer: blobBuffer}
				if err := l.under(ctx, spec); err != nil {
					return err
				}
				b.say("%s, round %d: %s %.0f MiB/s, %.2f s of CPU for a GiB", what, round+1, l.Name, l.bytes[round],
					l.cpuPerGiB[round])
			}
		}
		if n != nil {
			b.add(
				compared(what, a.bytes, n.bytes, n.Name, unit("MiB/s"), atLeast(0.9, "")),
				compared(what+", server's CPU for a GiB", a.cpuPerGiB, n.cpuPerGiB, n.Name, unit("s"), goal{}),
			)
		}
		b.add(
			compared(what, a.bytes, c.bytes, c.Name, unit("MiB/s"), atLeast(1.2, "")),
			compared(what+", server's CPU for a GiB", a.cpuPerGiB, c.cpuPerGiB, c.Name, unit("s"), goal{}),
		)
	}
	return nil
}

// manifests measures one hot manifest, by tag and by digest.
func (b *bench) manifests(ctx context.Context, ours, registry served) error {
	for _, by := range []struct {
		what string
		path func(served) string
	}{
		{"tag", func(s served) string { return s.byTag }},
		{"digest", func(s served) string { return s.byDigest }},
	} {
		what := "hot manifest by " + by.what + ", 64 connections"
		a, c := &loaded{served: ours}, &loaded{served: registry}
		for round := range b.rounds {
			for _, l := range []*loaded{a, c} {
				if err := l.under(ctx, loadSpec{Path: by.path(l.served), Connections: 64, Duration: b.window,
					Buffer: manifestBuffer}); err != nil {
					return err
				}
				b.say("%s, round %d: %s %.0f/s, p99 %.1f ms, %.0f µs of CPU", what, round+1, l.Name, l.rate[round],
					l.p99[round], l.cpuPerRequest[round])
			}
		}
		perSecond := func(v float64) string { return thousands(v) + "/s" }
		b.add(
			compared(what, a.rate, c.rate, c.Name, perSecond, atLeast(3, "")),
			compared(what+", server's CPU for one", a.cpuPerRequest, c.cpuPerRequest, c.Name, unit("µs"), goal{}),
			compared(what+", p99", a.p99, c.p99, c.Name, unit("ms"), goal{}),
		)
	}
	return nil
}
