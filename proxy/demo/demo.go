// Package demo is a tour of the proxy that needs nothing but itself: no network beyond loopback, no privileges, no tools.
//
// It makes a series of four versions of a small operating system, each one gzip layer as naive builds have it, and publishes
// them in a registry. The real proxy runs in front of that. Two clients then pull version after version, one directly and
// one through the proxy, and what they got is compared.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Options say how a demo runs. The zero value is ready for use.
type Options struct {
	// Keep is a directory, empty or to be made, that keeps what the two clients pulled, as the OCI image layouts "direct"
	// and "strata"; empty keeps nothing.
	Keep string
	// Version is that of the program.
	Version string
	// Tell hears of each step, a line for people each; may be nil.
	Tell func(line string)
	// Progress is told how the work goes on, in bytes; may be nil. It is called from several goroutines.
	Progress func(phase string, done, total int64)
	// Logger is the proxy's; nil discards.
	Logger *slog.Logger
	// Scale is the size of files, where 1 gives packages of real sizes, 190 MB together; 0 means DefaultScale.
	Scale float64
}

// demo is a run.
type demo struct {
	Options
	dir    string // temporary
	layout string // where the clients keep images
	stage  *stage
	report *Report
}

// Run runs the demo. When ctx ends it stops. It leaves nothing behind but what Keep holds. A version that does not verify is
// no error: Report.Same tells.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	start := time.Now()
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Scale == 0 {
		o.Scale = DefaultScale
	}
	d := &demo{Options: o, report: &Report{Versions: []Version{}, Kept: o.Keep}}
	if d.dir, err = os.MkdirTemp("", "strata-demo-"); err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	d.layout = filepath.Join(d.dir, "clients")
	if o.Keep != "" {
		if err := prepare(o.Keep); err != nil {
			return nil, err
		}
		d.layout = o.Keep
	}
	if d.stage, err = setUp(ctx, d.dir, o.Version, o.Logger); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stage.tearDown()) }()
	if err := d.build(ctx); err != nil {
		return nil, fmt.Errorf("making the images: %w", err)
	}
	if err := d.pull(ctx); err != nil {
		return nil, err
	}
	d.report.addUp(time.Since(start).Seconds())
	return d.report, nil
}

// prepare makes the directory that keeps images. One that holds something already is refused.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("directory to keep the images in: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("directory to keep the images in: %s is not empty: name a new one", dir)
	}
	return err
}

// parallel bounds the images that are built at once.
const parallel = 4

// build makes the series and publishes it in the upstream registry.
func (d *demo) build(ctx context.Context) error {
	series := releases()
	d.Tell(fmt.Sprintf("Making %d versions of a small operating system, each as one gzip layer, as naive builds have it.",
		len(series)))
	images := make([]*built, len(series))
	var done, total atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for n, r := range series {
		g.Go(func() error {
			fs, err := filesystemOf(series, n, d.Scale)
			if err != nil {
				return err
			}
			total.Add(fs.bytes())
			to, err := create(ctx, "docker://"+d.stage.upstream+"/"+repository+":"+r.tag)
			if err != nil {
				return err
			}
			images[n], err = publish(ctx, fs, r, to, d.dir, func(b int64) { d.Progress("build", done.Add(b), total.Load()) })
			return errors.Join(err, to.Close())
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	first := images[0]
	d.report.Files, d.report.Bytes = first.files, first.bytes
	d.Tell(fmt.Sprintf("An upstream registry serves them on %s: %s files, %s, compressed %s each.", d.stage.upstream,
		humanize.Comma(int64(first.files)), humanize.Bytes(uint64(first.bytes)), humanize.Bytes(uint64(first.layer.Size))))
	d.Tell(fmt.Sprintf("Strata runs in front of it on %s, with an empty store.", d.stage.proxy))
	return nil
}

// pull has two clients pull each version, one directly and one through the proxy, and checks what they got.
func (d *demo) pull(ctx context.Context) (err error) {
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	direct := &client{web, "http://" + d.stage.upstream + "/v2/" + repository, filepath.Join(d.layout, "direct")}
	through := &client{web, "http://" + d.stage.proxy + "/v2/" + upstreamHost + "/" + repository,
		filepath.Join(d.layout, "strata")}
	d.Tell("Two hosts install version 1 and update to each that follows:")
	d.Tell(fmt.Sprintf("  one pulls %s/%s, as it would without Strata,", d.stage.upstream, repository))
	d.Tell(fmt.Sprintf("  one pulls %s/%s/%s, through Strata.", d.stage.proxy, upstreamHost, repository))
	check, err := newChecker(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, check.close()) }()
	for _, r := range releases() {
		v, err := d.pullBoth(ctx, r, direct, through)
		if err != nil {
			return fmt.Errorf("pulling version %s: %w", r.tag, err)
		}
		if err := check.check(ctx, v, direct.ref(r.tag), through.ref(r.tag)); err != nil {
			return fmt.Errorf("checking version %s: %w", r.tag, err)
		}
		d.report.Versions = append(d.report.Versions, *v)
		d.tellVersion(v)
	}
	return nil
}

func (d *demo) pullBoth(ctx context.Context, r release, direct, through *client) (*Version, error) {
	var bytes int64
	got := func(n int64) {
		bytes += n
		d.Progress("pull "+r.tag, bytes, 0)
	}
	a, err := direct.pull(ctx, r.tag, got)
	if err != nil {
		return nil, fmt.Errorf("from the upstream: %w", err)
	}
	b, err := through.pull(ctx, r.tag, got)
	if err != nil {
		return nil, fmt.Errorf("through strata: %w", err)
	}
	return &Version{
		Version: r.tag, Change: r.change, DirectBytes: a.bytes, StrataBytes: b.bytes, Saving: saving(a.bytes, b.bytes),
		Layers: b.layers, LayersKept: b.layersHeld, LayersNew: b.layers - b.layersHeld, DirectSeconds: a.seconds,
		StrataSeconds: b.seconds,
		SourceDigest:  a.digest.String(), Digest: b.digest.String(), Served: b.served,
	}, nil
}

func (d *demo) tellVersion(v *Version) {
	verdict := "the same filesystem, file by file"
	if !v.Same {
		verdict = "NOT the same filesystem: " + legible.Count(v.Differences, "difference")
	}
	d.Tell(fmt.Sprintf("Version %s, %s: %s directly, %s through Strata: %s.", v.Version, v.Change,
		humanize.Bytes(uint64(v.DirectBytes)), humanize.Bytes(uint64(v.StrataBytes)), verdict))
}
