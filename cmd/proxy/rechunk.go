package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/legible"
)

// imageFlags are common to the commands that read images.
type imageFlags struct {
	Platform platformFlag `help:"Image of an index to take, os/arch[/variant]; default linux on this machine's architecture." placeholder:"P"`
	Insecure bool         `help:"Allow plain HTTP and unverified certificates for every registry."`
	JSON     bool         `help:"Print a JSON document."`
}

// platformFlag is "os/arch[/variant]", or nothing for linux on this machine's architecture. Another is refused before a
// command begins.
type platformFlag string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *platformFlag) UnmarshalText(text []byte) error {
	if _, err := image.ParsePlatform(string(text)); err != nil {
		return err
	}
	*f = platformFlag(text)
	return nil
}

func (f imageFlags) options(s *streams, b *bars) oneshot.Options {
	return oneshot.Options{
		Platform: string(f.Platform), Insecure: f.Insecure, Progress: b.show,
		Logger: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

type rechunkCommand struct {
	Src string `arg:"" help:"Source image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	Dst string `arg:"" help:"Where the result goes, in the same forms."`

	ruleFlags
	imageFlags
}

// ruleFlags are common to the commands that decide layers.
type ruleFlags struct {
	State       string          `help:"Directory that keeps layers and lineage between calls; without it every image is a first version." placeholder:"DIR"`
	Prior       string          `help:"Image that was rechunked before, which a lineage that the state does not have begins with." placeholder:"IMAGE"`
	Name        string          `help:"Lineage in the state directory." default:"image"`
	MaxLayers   int             `help:"Most layers of the result." default:"64"`
	MaxStale    string          `help:"Most stale bytes of the result, in percent of all." default:"10%"`
	LayerCost   config.ByteSize `help:"Bytes that a host could download while it imports a layer; more gives fewer layers." default:"0B"`
	Format      string          `help:"Format of new layers: zstd, gzip, zstd:chunked or ostree." placeholder:"FORMAT"`
	Compression string          `help:"Old name of --format." default:"zstd"`
	MTime       string          `help:"Modification times: keep the first served ones, or preserve the source's." enum:"keep,preserve" default:"keep" name:"mtime"`
	Noise       string          `help:"Files that differ from those served before in build noise only: serve the new ones, or keep those served before." enum:"serve,keep" default:"serve"`
	Hardlinks   string          `help:"Identical large files in /usr of bootable images: share them as hardlinks, or preserve the source's links." enum:"share,preserve" default:"share"`
}

// Help follows the flags in strata rechunk --help.
func (rechunkCommand) Help() string {
	return `Reads one image and writes one with the same filesystem in layers by content. With --state, which may be the storage
directory of a proxy that does not run, the next version keeps the layers that did not change:

    strata rechunk --state ./state --name os docker://registry.example/os:1 oci:./out:1
    strata rechunk --state ./state --name os docker://registry.example/os:2 oci:./out:2
    strata rechunk oci-archive:os.tar docker://registry.example/os:rechunked

Where no state outlives a build, what was published last serves as one:

    strata rechunk --prior docker://registry.example/os:latest oci:build docker://registry.example/os:latest

Credentials are those of podman login and docker login.`
}

// rechunkReport is the JSON document of strata rechunk.
type rechunkReport struct {
	SourceDigest string  `json:"source_digest"`
	Digest       string  `json:"digest"`
	LayersTotal  int     `json:"layers_total"`
	LayersKept   int     `json:"layers_kept"`
	LayersNew    int     `json:"layers_new"`
	NewBytes     int64   `json:"new_bytes"`
	TotalBytes   int64   `json:"total_bytes"`
	StaleBytes   int64   `json:"stale_bytes"`
	NoiseKept    int     `json:"noise_kept,omitempty"`
	Seconds      float64 `json:"seconds"`
	UnkeptBytes  int64   `json:"unkept_bytes,omitempty"`
	PeakRSS      int64   `json:"peak_rss"`
}

// lineageVersions is how many versions a state directory remembers.
const lineageVersions = 16

func (c *ruleFlags) rules() (rechunk.Options, error) {
	name, flag := c.Compression, "--compression"
	if c.Format != "" {
		name, flag = c.Format, "--format"
	}
	if err := new(config.Format).UnmarshalText([]byte(name)); err != nil {
		return rechunk.Options{}, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	ostree := name == rechunk.FormOSTree
	if ostree {
		name = string(layer.Zstd)
	}
	format, err := layer.ParseFormat(name)
	if err != nil {
		return rechunk.Options{}, err
	}
	if ostree && c.MaxLayers == 1 {
		return rechunk.Options{}, usageError{errors.New("--max-layers: 1 is too few for ostree, whose commit has a layer of its own")}
	}
	stale, err := parsePercent(c.MaxStale)
	if err != nil {
		return rechunk.Options{}, usageError{fmt.Errorf("--max-stale: %w", err)}
	}
	if c.MaxLayers < 1 {
		return rechunk.Options{}, usageError{fmt.Errorf("--max-layers: %d is less than 1", c.MaxLayers)}
	}
	if c.Name == "" {
		return rechunk.Options{}, usageError{errors.New("--name: it is empty")}
	}
	return rechunk.Options{
		MaxLayers: c.MaxLayers, MaxStale: stale, LayerCost: int64(c.LayerCost), Format: format, OSTree: ostree,
		ExactTime: c.MTime == "preserve",
		OwnLinks:  c.Hardlinks == "preserve", KeepNoise: c.Noise == "keep", Versions: lineageVersions,
	}, nil
}

func parsePercent(s string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(s, "%")), 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return 0, fmt.Errorf("%q is no percentage from 0%% to 100%%", s)
	}
	return v / 100, nil
}

func (c *rechunkCommand) Run(ctx context.Context, s *streams) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	b := newBars(s.terminal)
	o := c.options(s, b)
	o.State, o.Prior = c.State, c.Prior
	r, err := oneshot.Rechunk(ctx, c.Src, c.Dst, c.Name, rules, o)
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, rechunkReport{
			SourceDigest: r.SourceDigest.String(), Digest: r.Digest.String(), LayersTotal: r.LayersTotal,
			LayersKept: r.LayersKept,
			LayersNew:  r.LayersNew, NewBytes: r.NewBytes, TotalBytes: r.TotalBytes, StaleBytes: r.StaleBytes,
			NoiseKept: r.NoiseKept,
			Seconds:   r.Seconds, UnkeptBytes: r.UnkeptBytes,
			PeakRSS: peakRSS(),
		})
	}
	return c.print(s, r)
}

func (c *rechunkCommand) print(s *streams, r *rechunk.Result) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "source\t%s\n", r.SourceDigest)
	fmt.Fprintf(w, "image\t%s\n", r.Digest)
	fmt.Fprintf(w, "layers\t%d: %d kept, %d new\n", r.LayersTotal, r.LayersKept, r.LayersNew)
	fmt.Fprintf(w, "size\t%s, of which %s are new and %s stale (the source has %s)\n",
		size(r.TotalBytes), size(r.NewBytes), size(r.StaleBytes), size(r.SourceBytes))
	if r.NoiseKept > 0 {
		stay := legible.Word(r.NoiseKept, "stays as it was", "stay as they were")
		fmt.Fprintf(w, "noise\t%s %s served before (strata verify lists them)\n", legible.Count(r.NoiseKept, "file"), stay)
	}
	if r.UnkeptBytes > 0 {
		fmt.Fprintf(w, "format\tanother than before: %s that hosts had, they download once more\n", size(r.UnkeptBytes))
	}
	fmt.Fprintf(w, "took\t%.1f s, %s of memory at most\n", r.Seconds, size(peakRSS()))
	return w.Flush()
}
