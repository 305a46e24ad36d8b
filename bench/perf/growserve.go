package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/bench/process"
)

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
	for _, n := range []int{1, last / 10, last} {
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
		p, err := b.startOn(ctx, registry.Address, repositories(n))
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("start of serve", wall, points)
	return b.clear("registry", "store", "tiny")
}

// startOn starts the proxy on the store that there is, and stops it. Its memory is that when it first answers.
func (b *bench) startOn(ctx context.Context, upstream, size string) (point, error) {
	s, err := b.startStrata(ctx, upstream)
	if err != nil {
		return point{}, err
	}
	p := point{size: size, n: 1, Usage: process.Usage{Wall: s.Ready, CPU: s.CPU(), RSS: s.Resident()}}
	b.say("growth: start with %s took %.3f s, %.0f MiB", size, seconds(p.Wall), mebibytes(p.RSS))
	return p, s.Stop()
}

// growStore starts the proxy on a store of more and more objects, put where the store's format has them (docs/store.md).
func (b *bench) growStore(ctx context.Context) error {
	sizes := []int{0, 1_000, 100_000}
	if b.full {
		sizes = append(sizes, 500_000)
	}
	if err := b.clear("store"); err != nil {
		return err
	}
	var points []point
	done := 0
	for _, n := range sizes {
		for ; done < n; done++ {
			name := digest.FromString(strconv.Itoa(done)).Encoded() // of other bytes: nobody reads them
			path := filepath.Join(b.path("store"), "v1", "blobs", "sha256", name[:2], name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte{byte(done)}, 0o644); err != nil {
				return err
			}
		}
		p, err := b.startOn(ctx, "127.0.0.1:9", thousands(float64(n))+" objects") // no upstream is asked
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	b.grown("start of serve", wall, points)
	return b.clear("store")
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
