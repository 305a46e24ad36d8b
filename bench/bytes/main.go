// Command bytes measures what clients download: real series of operating system images, and the real package history of
// Fedora CoreOS as images, through the strata program and through what other programs make of the same images.
//
//	go run ./bench/bytes -images DIR -history DIR -chunkah PROGRAM
//
// docs/bytes.md says what is measured and how each program's part is computed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/rechunk/layer"
)

// options are the command's flags.
type options struct {
	images, history, chunkah, strata, work, json string
	only, programs                               string
	layers, peerLayers                           string
	scale                                        float64
	quick                                        bool
}

func flags(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bytes", flag.ContinueOnError)
	f.StringVar(&o.images, "images", "", "directory with series of images: NAME/dpkg and NAME/rpm, OCI layouts with a tag per version")
	f.StringVar(&o.history, "history", "", "directory with the package history (bench/README.md)")
	f.StringVar(&o.chunkah, "chunkah", "chunkah", "the chunkah program")
	f.StringVar(&o.strata, "strata", "", "the strata program; default: built from this checkout")
	f.StringVar(&o.work, "work", "", "directory for temporary data, made and removed; default: one in the directory for temporary files")
	f.StringVar(&o.json, "json", "", "file for the results as JSON")
	f.StringVar(&o.only, "series", "", "measure only series whose name contains one of these, comma-separated")
	f.StringVar(&o.programs, "programs", "", "measure only programs whose name contains one of these, comma-separated")
	f.StringVar(&o.layers, "layers", "64,120,128", "limits of Strata's layers")
	f.StringVar(&o.peerLayers, "peer-layers", "64,128", "limits of the other programs' layers")
	f.Float64Var(&o.scale, "scale", 0.125, "size of the history's packages, of their real one")
	f.BoolVar(&o.quick, "quick", false, "few and small series: mini images, a short history, 64 layers")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.images == "" && o.history == "" {
		return nil, errors.New("nothing to measure: give -images DIR or -history DIR")
	}
	return o, nil
}

func main() {
	process.Main("bytes", func(ctx context.Context, args []string, out io.Writer) error {
		return run(ctx, args, out, os.Stderr)
	})
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	o, err := flags(args)
	if err != nil {
		return err
	}
	r := &report{Command: "go run ./bench/bytes " + strings.Join(args, " "), Strata: layer.Zstd.Spec().Encoder.Unversioned()}
	b := &bench{log: log, strata: o.strata, programs: strings.Split(o.programs, ",")}
	if err := o.limits(b); err != nil {
		return err
	}
	if o.work != "" {
		if err := os.MkdirAll(o.work, 0o755); err != nil {
			return err
		}
	}
	if b.work, err = os.MkdirTemp(o.work, "bytes-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(b.work)) }()
	if b.chunkah, err = exec.LookPath(o.chunkah); err != nil {
		r.Skipped = append(r.Skipped, "chunkah: "+err.Error())
		b.chunkah = ""
	}
	if b.strata == "" {
		b.strata = filepath.Join(b.work, "strata")
		if err := process.BuildStrata(ctx, b.strata); err != nil {
			return err
		}
	}
	list, skipped, err := o.choose(b.work)
	if err != nil {
		return err
	}
	r.Skipped = append(r.Skipped, skipped...)
	if err := b.all(ctx, list, r, o.json); err != nil {
		return err
	}
	r.print(out)
	return nil
}

// limits sets how many layers images may have.
func (o *options) limits(b *bench) (err error) {
	if b.layers, err = numbers(o.layers); err != nil {
		return fmt.Errorf("-layers: %w", err)
	}
	if b.peerLayers, err = numbers(o.peerLayers); err != nil {
		return fmt.Errorf("-peer-layers: %w", err)
	}
	if o.quick {
		b.layers, b.peerLayers = b.layers[:1], b.peerLayers[:1]
	}
	return nil
}

// all measures one series after another, and saves what is known after each.
func (b *bench) all(ctx context.Context, list []*series, r *report, path string) error {
	for _, s := range list {
		x, err := b.series(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.Series = append(r.Series, x)
		if path != "" {
			if err := r.save(path); err != nil {
				return err
			}
		}
		if s.make != nil {
			if err := remove(s.dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose lists the series to measure and says what is missing.
func (o *options) choose(work string) (list []*series, skipped []string, err error) {
	if o.images == "" {
		skipped = append(skipped, "images: -images is not given")
	} else {
		all, err := found(o.images)
		if err != nil {
			return nil, nil, err
		}
		if len(all) == 0 {
			skipped = append(skipped, "images: "+o.images+" has no NAME/dpkg or NAME/rpm with two versions")
		}
		for _, s := range all {
			if !o.quick || strings.HasPrefix(s.name, "mini") {
				list = append(list, s)
			}
		}
	}
	if o.history == "" {
		skipped = append(skipped, "history: -history is not given")
	} else {
		invented, err := histories(o.history, filepath.Join(work, "history"), o.scale, o.quick)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, invented...)
	}
	var chosen []*series
	for _, s := range list {
		for _, part := range strings.Split(o.only, ",") {
			if strings.Contains(s.name, part) {
				chosen = append(chosen, s)
				break
			}
		}
	}
	return chosen, skipped, nil
}

// numbers reads a list of limits.
func numbers(text string) ([]int, error) {
	var out []int
	for _, f := range strings.Split(text, ",") {
		n, err := strconv.Atoi(f)
		if err != nil || n < 4 {
			return nil, fmt.Errorf("%q: a number of layers from 4 on is wanted", f)
		}
		out = append(out, n)
	}
	return out, nil
}
