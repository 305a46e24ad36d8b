package main

import (
	"context"
	"fmt"

	"github.com/strata-oci/strata/bench/process"
)

// Growth is how time and memory go with size, in one dimension at a time. Its rows compare with the smallest.

// point is a size and what it took.
type point struct {
	size string
	n    float64
	process.Usage
	also string // what else is to be said
}

// clock names one of the times that a command takes.
type clock string

const (
	wall clock = "time"
	cpu  clock = "CPU"
)

func (c clock) of(u process.Usage) float64 {
	if c == cpu {
		return seconds(u.CPU)
	}
	return seconds(u.Wall)
}

// grown writes points as rows. The ratio is that of times over that of sizes, against the first point: 1 is linear.
func (b *bench) grown(what string, by clock, points []point) {
	for i, p := range points {
		r := row{
			work: what + ", " + p.size, peer: "–", ratio: "–", goal: "–",
			strata: fmt.Sprintf("%s, %s of CPU, %s", unit("s")(seconds(p.Wall)), unit("s")(seconds(p.CPU)),
				unit("MiB")(mebibytes(p.RSS))) + p.also,
		}
		if i > 0 {
			first := points[0]
			v := by.of(p.Usage) / by.of(first.Usage) / (p.n / first.n)
			r.peer, r.ratio = string(by)+" by size of "+first.size, digits(v)+" ×"
			r.goal = atMost(1.1, "").judge(v)
		}
		b.add(r)
	}
}

func (b *bench) growBytes(ctx context.Context) error {
	sizes := []float64{0.5, 1, 2}
	if b.full {
		sizes = append(sizes, 4)
	}
	var points []point
	for _, s := range sizes {
		p, err := b.synthesized(ctx, fmt.Sprintf("%g GiB", s), s, synthetic{entries: 20_000, bytes: int64(s * gib)})
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("first rechunk of 20,000 files", cpu, points)
	return nil
}

func (b *bench) growEntries(ctx context.Context) error {
	sizes := []int{20_000, 100_000}
	if b.full {
		sizes = append(sizes, 300_000, 1_000_000)
	}
	var points []point
	for _, n := range sizes {
		p, err := b.synthesized(ctx, thousands(float64(n))+" files", float64(n),
			synthetic{entries: n, bytes: int64(n) * 1024})
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("first rechunk, 1 KiB a file", cpu, points)
	return nil
}

// synthesized rechunks an invented image.
func (b *bench) synthesized(ctx context.Context, size string, n float64, s synthetic) (point, error) {
	b.say("growth: %s", size)
	image := ociLayout(b.path("grown"))
	if err := image.synthesize("v1", s); err != nil {
		return point{}, err
	}
	u, err := b.firstly(image, "v1").run(ctx)
	if err != nil {
		return point{}, err
	}
	b.say("growth: %s took %.1f s, %.0f MiB", size, seconds(u.Wall), mebibytes(u.RSS))
	return point{size: size, n: n, Usage: u}, b.clear("grown", "state", "out")
}

// growComponents has the same files belong to more and more packages. A version takes as long as before, or the time goes
// with them.
func (b *bench) growComponents(ctx context.Context) error {
	const files = 20_000
	var points []point
	for _, each := range []int{200, 40, 10, 2} {
		n := files / each
		p, err := b.synthesized(ctx, thousands(float64(n))+" packages", 1,
			synthetic{entries: files, bytes: 128 * mib, perPackage: each})
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("first rechunk of 20,000 files", cpu, points)
	return nil
}
