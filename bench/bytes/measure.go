package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
)

// lags are how many versions behind a client is.
var lags = [...]int{1, 2, 4}

// bench is one run.
type bench struct {
	strata, chunkah string // programs; without a chunkah its rows are left out
	work            string
	layers          []int    // limits of Strata's layers
	peerLayers      []int    // and of the others'
	programs        []string // parts of the names of those to measure
	log             io.Writer
}

// wanted says whether a program is to be measured.
func (b *bench) wanted(name string) bool {
	return slices.ContainsFunc(b.programs,
		func(part string) bool { return strings.Contains(strings.ToLower(name), strings.ToLower(part)) })
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// contender is a program at a limit of layers, and what it makes of each version.
type contender struct {
	name   string
	layers int // the limit; 0 for none
	images []image
	stale  []float64
}

// contest is a series being measured.
type contest struct {
	*bench
	s        *series
	versions []*version
	scales   *scales
	list     []*contender
	strata   map[int]*strataRun
	floors   [][len(lags)]int64 // by version
}

// series measures one series.
func (b *bench) series(ctx context.Context, s *series) (_ *seriesResult, err error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	i, err := oneshot.NewInspector(ctx, oneshot.Options{State: filepath.Join(b.work, "inspect")})
	if err != nil {
		return nil, err
	}
	c := &contest{bench: b, s: s, scales: newScales()}
	defer func() {
		for _, v := range c.versions {
			err = errors.Join(err, v.in.Close())
		}
		err = errors.Join(err, i.Close(), remove(filepath.Join(b.work, "inspect")),
			remove(filepath.Join(b.work, "strata-out")))
	}()
	for _, tag := range s.tags {
		v, err := open(ctx, i, s, tag, b.work)
		if err != nil {
			return nil, err
		}
		c.versions = append(c.versions, v)
	}
	b.say("%s: %d versions, %d entries in the last", s.name, len(c.versions),
		len(c.versions[len(c.versions)-1].tree().Entries))
	for _, step := range []func(context.Context) error{c.floor, c.asItIs, c.ours, c.packings, c.real} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c.result(ctx)
}

// floor measures the changed files in one layer, for each version and lag.
func (c *contest) floor(ctx context.Context) error {
	c.floors = make([][len(lags)]int64, len(c.versions))
	for n, v := range c.versions {
		for l, lag := range lags {
			if n < lag {
				continue
			}
			r, err := compare.Update(ctx, c.versions[n-lag].in.Inspection, v.in.Inspection, layer.Zstd)
			if err != nil {
				return err
			}
			c.floors[n][l] = r.FloorBytes
		}
		c.say("%s %s: floor %s", c.s.name, v.tag, megabytes(c.floors[n][0]))
	}
	return nil
}

// asItIs takes the layers of the source.
func (c *contest) asItIs(ctx context.Context) error {
	p := &contender{name: "the source as it is"}
	if !c.wanted(p.name) {
		return nil
	}
	for _, v := range c.versions {
		packing := make([][]int, len(v.source))
		for _, i := range v.leaves() {
			n := v.shownBy(v.tree().Entries[i].Path)
			packing[n] = append(packing[n], i)
		}
		var img image
		for n, l := range v.source {
			w, err := c.scales.layer(ctx, v, packing[n], v.objects(false), false)
			if err != nil {
				return err
			}
			img = append(img, sized{l.digest, l.size, w.ours})
		}
		p.images = append(p.images, img)
	}
	c.list = append(c.list, p)
	return nil
}

// shownBy is the highest layer of the source that holds a path.
func (v *version) shownBy(path string) int {
	for n := len(v.in.Layers) - 1; n > 0; n-- {
		shown := tree.Tree{Entries: v.in.Layers[n].Entries} // in the same order
		if _, has := shown.Find(path); has {
			return n
		}
	}
	return 0
}

// ours runs Strata.
func (c *contest) ours(ctx context.Context) error {
	c.strata = map[int]*strataRun{}
	if !c.wanted("Strata") {
		return nil
	}
	for _, n := range c.layers {
		r := &strataRun{program: c.bench.strata, dir: filepath.Join(c.work, "strata-out", fmt.Sprint(n)), layers: n}
		c.strata[n] = r
		p := &contender{name: "Strata", layers: n}
		for _, v := range c.versions {
			img, err := r.next(ctx, c.s, v.tag)
			if err != nil {
				return err
			}
			p.images = append(p.images, img)
		}
		p.stale = r.stale
		c.list = append(c.list, p)
		c.say("%s: Strata, %d layers: done", c.s.name, n)
	}
	return nil
}

// packer is a packing rule; versions come in order.
type packer interface {
	next(v *version) [][]int
}

// packings computes the packings that are known by their rules.
func (c *contest) packings(ctx context.Context) error {
	last := c.versions[len(c.versions)-1]
	if err := c.packing(ctx, &contender{name: "one layer per source package"}, perSource{}, false); err != nil {
		return err
	}
	if len(last.packages) == 0 {
		return nil
	}
	for _, n := range c.peerLayers {
		if err := c.packing(ctx, &contender{name: "rpm-ostree's packing", layers: n}, &rpmOSTree{layers: n},
			true); err != nil {
			return err
		}
		if err := c.packing(ctx, &contender{name: "hhd-dev/rechunk's packing", layers: n},
			&hhdRechunk{layers: n, scale: c.s.scale}, true); err != nil {
			return err
		}
	}
	return nil
}

func (c *contest) packing(ctx context.Context, p *contender, rule packer, ostree bool) error {
	if !c.wanted(p.name) {
		return nil
	}
	for _, v := range c.versions {
		img, err := c.scales.image(ctx, v, rule.next(v), v.objects(ostree), true)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		p.images = append(p.images, img)
	}
	c.list = append(c.list, p)
	c.say("%s: %s, %d layers: done", c.s.name, p.name, p.layers)
	return nil
}

// real runs chunkah, which reads rpm databases only.
func (c *contest) real(ctx context.Context) error {
	if c.chunkah == "" || !c.wanted("chunkah") || len(c.versions[len(c.versions)-1].packages) == 0 {
		return nil
	}
	run := &chunkah{program: c.chunkah, work: c.work, known: map[string]sized{}}
	list := make([]*contender, len(c.peerLayers))
	for i, n := range c.peerLayers {
		list[i] = &contender{name: "chunkah", layers: n}
	}
	for _, v := range c.versions {
		root, err := run.unpack(ctx, c.s, v)
		if err != nil {
			return err
		}
		for _, p := range list {
			img, err := run.next(ctx, v, root, p.layers, c.scales)
			if err != nil {
				return err
			}
			p.images = append(p.images, img)
		}
	}
	c.say("%s: chunkah: done", c.s.name)
	c.list = append(c.list, list...)
	return errors.Join(remove(filepath.Join(c.work, "rootfs")), remove(filepath.Join(c.work, "chunkah")))
}
