package main

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"

	"github.com/strata-oci/strata/bench/process"
)

// series are the figures of one program over the rounds.
type series struct {
	wall, cpu, rss sample // seconds, seconds, MiB
}

func (s *series) add(u process.Usage) {
	s.wall = append(s.wall, seconds(u.Wall))
	s.cpu = append(s.cpu, seconds(u.CPU))
	s.rss = append(s.rss, mebibytes(u.RSS))
}

// contender is a program in a comparison.
type contender struct {
	name string
	run  func(context.Context) (process.Usage, error)
	series
}

// alternate measures contenders in turn, round by round.
func (b *bench) alternate(ctx context.Context, what string, contenders ...*contender) error {
	for round := range b.rounds {
		for _, c := range contenders {
			syscall.Sync() // what one has written is not for the next to wait for
			u, err := c.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.add(u)
			b.say("%s, round %d: %s took %.1f s, %.1f s of CPU, %.0f MiB", what, round+1, c.name, seconds(u.Wall),
				seconds(u.CPU), mebibytes(u.RSS))
		}
	}
	return nil
}

// rechunked rechunks an image, with the state and into the layout of earlier versions where there are any.
func (b *bench) rechunked(ctx context.Context, image ociLayout, tag string) (process.Usage, error) {
	u, _, err := process.Measure(ctx, b.strata, "rechunk", "--json", "--state", b.path("state"), image.ref(tag),
		ociLayout(b.path("out")).ref("made"))
	return u, err
}

// firstly is a contender that rechunks an image without any state.
func (b *bench) firstly(image ociLayout, tag string) *contender {
	return &contender{name: "strata", run: func(ctx context.Context) (process.Usage, error) {
		if err := b.clear("state", "out"); err != nil {
			return process.Usage{}, err
		}
		return b.rechunked(ctx, image, tag)
	}}
}

// floor is the least that anybody can do who must know the contents of an image.
func (b *bench) floor(image ociLayout, tag string) (*contender, error) {
	m, err := image.manifest(tag)
	if err != nil {
		return nil, err
	}
	script := "set -e\n"
	for _, l := range m.Layers {
		script += fmt.Sprintf("gunzip <'%s' | sha256sum\n", image.blob(l.Digest))
	}
	return &contender{name: "gunzip | sha256sum", run: func(ctx context.Context) (process.Usage, error) {
		u, _, err := process.Measure(ctx, "sh", "-c", script)
		return u, err
	}}, nil
}

// skopeo recompresses the layers as they are.
func (b *bench) skopeo() *contender {
	return &contender{name: "skopeo copy, zstd", run: func(ctx context.Context) (process.Usage, error) {
		if err := b.clear("skopeo"); err != nil {
			return process.Usage{}, err
		}
		u, _, err := process.Measure(ctx, "skopeo", "--insecure-policy", "--tmpdir", b.work, "copy", "-q",
			"--dest-compress-format", "zstd",
			b.corpus.ref(b.tag), ociLayout(b.path("skopeo")).ref("made"))
		return u, err
	}}
}

// chunker is chunkah on the unpacked image. That it does not unpack the image itself is not held against it.
func (b *bench) chunker(ctx context.Context) (*contender, error) {
	root := b.path("rootfs")
	m, err := b.corpus.manifest(b.tag)
	if err != nil {
		return nil, err
	}
	if _, _, err := process.Measure(ctx, "mkdir", root); err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		u, _, err := process.Measure(ctx, "tar", "-xzf", b.corpus.blob(l.Digest), "-C", root, "--xattrs",
			"--xattrs-include=*")
		if err != nil {
			return nil, err
		}
		b.say("unpacked for chunkah in %.1f s", seconds(u.Wall))
	}
	return &contender{name: "chunkah --compressed", run: func(ctx context.Context) (process.Usage, error) {
		if err := b.clear("chunkah"); err != nil {
			return process.Usage{}, err
		}
		u, _, err := process.Measure(ctx, b.chunkah, "build", "--rootfs", root, "--compressed", "--skip-special-files",
			"--max-layers", "120",
			"--config-str", "{}", "--output", "oci:"+b.path("chunkah"))
		return u, err
	}}, nil
}

// first measures the first version of the corpus image.
func (b *bench) first(ctx context.Context) error {
	ours := b.firstly(b.corpus, b.tag)
	floor, err := b.floor(b.corpus, b.tag)
	if err != nil {
		return err
	}
	peers, missing, err := b.rechunkers(ctx)
	if err != nil {
		return err
	}
	// Once for the page cache.
	if _, err := floor.run(ctx); err != nil {
		return err
	}
	if err := b.alternate(ctx, "first rechunk", append([]*contender{ours, floor}, peers...)...); err != nil {
		return err
	}
	b.add(
		compared("first rechunk, wall", ours.wall, floor.wall, floor.name, unit("s"), atMost(2.5, "")),
		compared("first rechunk, CPU", ours.cpu, floor.cpu, floor.name, unit("s"), goal{}),
	)
	for _, c := range peers {
		b.add(
			compared("first rechunk, wall", ours.wall, c.wall, c.name, unit("s"), atMost(1, "")),
			compared("first rechunk, CPU", ours.cpu, c.cpu, c.name, unit("s"), goal{}),
			compared("first rechunk, peak memory", ours.rss, c.rss, c.name, unit("MiB"), goal{}),
		)
	}
	b.add(missing...)
	b.add(alone("first rechunk, peak memory", ours.rss, unit("MiB"), atMost(200, " MiB")))
	return b.clear("out", "state", "skopeo", "chunkah", "rootfs")
}

// rechunkers are the peers that are installed, and rows for those that are not.
func (b *bench) rechunkers(ctx context.Context) (peers []*contender, missing []row, err error) {
	if _, err := exec.LookPath("skopeo"); err == nil {
		peers = append(peers, b.skopeo())
	} else {
		missing = append(missing, unmeasured("first rechunk", "skopeo copy, zstd", "it is not installed"))
	}
	if b.chunkah == "" {
		return peers, append(missing, unmeasured("first rechunk", "chunkah --compressed", "it is not installed")), nil
	}
	c, err := b.chunker(ctx)
	return append(peers, c), missing, err
}

// next measures second versions.
func (b *bench) next(ctx context.Context) error {
	m, err := b.corpus.manifest(b.tag)
	if err != nil {
		return err
	}
	if len(m.Layers) != 1 {
		return fmt.Errorf("image %s of the corpus has %d layers, not one", b.tag, len(m.Layers))
	}
	layer, derived := b.corpus.blob(m.Layers[0].Digest), ociLayout(b.path("derived"))
	b.say("deriving images")
	if err := derived.repush("repushed", layer, 0.05); err != nil {
		return err
	}
	if err := derived.split("ten", "ten-next", layer); err != nil {
		return err
	}
	if err := b.second(ctx, "next version, 5 % changed, one layer", b.corpus, b.tag, derived, "repushed", 0.45); err != nil {
		return err
	}
	if err := b.second(ctx, "next version, one small layer of ten", derived, "ten", derived, "ten-next", 0.10); err != nil {
		return err
	}
	return b.clear("derived", "out", "state")
}

// second measures a version against the one before it.
func (b *bench) second(ctx context.Context, what string, old ociLayout, oldTag string, new ociLayout, newTag string,
	limit float64) error {
	first := b.firstly(old, oldTag)
	first.name = "first rechunk"
	next := &contender{name: "strata", run: func(ctx context.Context) (process.Usage,
		error) {
		return b.rechunked(ctx, new, newTag)
	}}
	if err := b.alternate(ctx, what, first, next); err != nil {
		return err
	}
	b.add(
		compared(what+", wall", next.wall, first.wall, first.name, unit("s"), atMost(limit, "")),
		compared(what+", CPU", next.cpu, first.cpu, first.name, unit("s"), goal{}),
	)
	return nil
}

// memory measures the peak for a large image.
func (b *bench) memory(ctx context.Context) error {
	const size = 4 * gib
	image := ociLayout(b.path("large"))
	b.say("making an image of 4 GiB")
	if err := image.synthesize("v1", synthetic{entries: 60_000, bytes: size}); err != nil {
		return err
	}
	c := b.firstly(image, "v1")
	u, err := c.run(ctx)
	if err != nil {
		return err
	}
	c.add(u)
	b.add(
		alone("peak memory, 4 GiB image of 60,000 files", c.rss, unit("MiB"), atMost(200, " MiB")),
		alone("time of that", c.wall, unit("s"), goal{}),
	)
	return b.clear("large", "out", "state")
}

// synthesize writes an invented image of one layer.
func (l ociLayout) synthesize(tag string, s synthetic) error {
	blob, err := l.writeLayer(s.write)
	if err != nil {
		return err
	}
	return l.writeImage(tag, blob)
}
