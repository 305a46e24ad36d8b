package main

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/strata-oci/strata/bench/process"
)

// growth measures how time and memory go with size, in one dimension at a time. Its rows compare with the smallest.
func (b *bench) growth(ctx context.Context) error {
	for _, step := range []func(context.Context) error{b.growBytes, b.growEntries, b.growLineage, b.growRepositories} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// point is a size and what it took.
type point struct {
	size string
	n    float64
	process.Usage
}

// grown writes points as rows. The ratio is that of times over that of sizes, against the first point: 1 is linear.
func (b *bench) grown(what string, points []point) {
	for i, p := range points {
		r := row{
			work: what + ", " + p.size, strata: fmt.Sprintf("%s, %s", unit("s")(seconds(p.Wall)), unit("MiB")(mebibytes(p.RSS))),
			peer: "–", ratio: "–", goal: "–",
		}
		if i > 0 {
			first := points[0]
			v := seconds(p.Wall) / seconds(first.Wall) / (p.n / first.n)
			r.peer, r.ratio = "time by size of "+first.size, digits(v)+" ×"
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
	b.grown("first rechunk of 20,000 files", points)
	return nil
}

func (b *bench) growEntries(ctx context.Context) error {
	sizes := []int{20_000, 100_000}
	if b.full {
		sizes = append(sizes, 300_000, 1_000_000)
	}
	var points []point
	for _, n := range sizes {
		p, err := b.synthesized(ctx, thousands(float64(n))+" files", float64(n), synthetic{entries: n, bytes: int64(n) * 1024})
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("first rechunk, 1 KiB a file", points)
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
	return point{size, n, u}, b.clear("grown", "state", "out")
}

// growLineage serves version after version of an image of which each changes one package.
func (b *bench) growLineage(ctx context.Context) error {
	last := 20
	if b.full {
		last = 500
	}
	if err := b.clear("state", "out"); err != nil {
		return err
	}
	shown := map[int]bool{2: true, 10: true, 20: true, 100: true, 500: true}
	var points []point
	for v := 1; v <= last; v++ {
		image, tag := ociLayout(b.path("version")), fmt.Sprintf("v%d", v)
		if err := image.synthesize(tag, synthetic{entries: 10_000, bytes: 64 * mib, version: v}); err != nil {
			return err
		}
		u, err := b.rechunked(ctx, image, tag)
		if err != nil {
			return err
		}
		if shown[v] {
			b.say("growth: version %d took %.2f s, %.0f MiB", v, seconds(u.Wall), mebibytes(u.RSS))
			points = append(points, point{fmt.Sprintf("version %d", v), 1, u})
		}
		if err := b.clear("version"); err != nil {
			return err
		}
	}
	b.grown("next version of 10,000 files in one layer, one package changed", points)
	return b.clear("state", "out")
}

// growRepositories pulls many repositories through and starts the proxy again on its store.
func (b *bench) growRepositories(ctx context.Context) error {
	last := 100
	if b.full {
		last = 1000
	}
	registry, err := b.startDistribution(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = registry.Stop() }()
	img, err := b.tiny()
	if err != nil {
		return err
	}
	var points []point
	done := 0
	for _, n := range []int{1, last} {
		strata, err := b.startStrata(ctx, registry.Address)
		if err != nil {
			return err
		}
		for ; done < n; done++ {
			repo := fmt.Sprintf("/app-%04d:1", done)
			if err := write(ctx, registry.Address+repo, img); err != nil {
				return err
			}
			if _, err := transfer(ctx, strata.Address+"/"+upstreamHost+repo, registry.Address+"/copy"+repo); err != nil {
				return err
			}
		}
		if err := strata.Stop(); err != nil {
			return err
		}
		again, err := b.startStrata(ctx, registry.Address)
		if err != nil {
			return err
		}
		points = append(points, point{repositories(n), 1, process.Usage{Wall: again.Ready, RSS: again.Resident()}})
		b.say("growth: start with %d repositories took %.3f s", n, seconds(again.Ready))
		if err := again.Stop(); err != nil {
			return err
		}
	}
	b.grown("start of serve and its memory then", points)
	return b.clear("registry", "store", "tiny")
}

func repositories(n int) string {
	if n == 1 {
		return "1 repository"
	}
	return thousands(float64(n)) + " repositories"
}

// tiny is an image of a few files.
func (b *bench) tiny() (v1.Image, error) {
	image := ociLayout(b.path("tiny"))
	if err := image.synthesize("v1", synthetic{entries: 100, bytes: 256 << 10}); err != nil {
		return nil, err
	}
	x, err := layout.ImageIndexFromPath(string(image))
	if err != nil {
		return nil, err
	}
	m, err := x.IndexManifest()
	if err != nil {
		return nil, err
	}
	return x.Image(m.Manifests[0].Digest)
}
