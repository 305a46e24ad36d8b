package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/airgap/gate"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/legible"
)

// Help follows the flags in strata export --help.
func (exportCommand) Help() string {
	return `Writes an image with its signatures, attestations and SBOMs into one file, which strata import puts into a proxy that has no way
out, and which skopeo, podman and bootc read by the image's name:

    strata export proxy.example/ghcr.io/ublue-os/bluefin:stable bluefin.tar
    skopeo copy oci-archive:bluefin.tar:ghcr.io/ublue-os/bluefin:stable …
    strata export --since oci-archive:last.tar:ghcr.io/ublue-os/bluefin:stable proxy.example/ghcr.io/ublue-os/bluefin:stable next.tar

With --since only what that image lacks is in the file, and only strata import reads it. Images of a proxy keep their layers, so
that this is what an update costs; with --delta it costs less still, for layers are carried as what makes them of that image's
files, and the other side needs it whole.

Of an image that the proxy made, the file also has the source's manifest, with upstream's signatures and attestations, and what
proves that it is the source: a proxy that imports it checks it by upstream's own key (verify in its configuration). That reads
the source's layers from the registry once; --no-origin leaves it out. Credentials are those of podman login and docker login.`
}

type exportCommand struct {
	Ref  string `arg:"" help:"Image in a registry, best in a proxy."`
	File string `arg:"" help:"File to write."`

	As    string   `help:"Reference to serve the image under; its own by default, without the name of a proxy." placeholder:"REF"`
	Since []string `help:"Image that the other side has; what it holds is left out. May be repeated." placeholder:"IMAGE"`
	Delta bool     `help:"Carry layers as deltas from the first image of --since."`

	Origin bool `help:"Carry what proves the source of an image that a proxy made." default:"true" negatable:""`
	imageFlags
}

func (c *exportCommand) Run(ctx context.Context, s *streams) error {
	if c.Delta && len(c.Since) == 0 {
		return usageError{errors.New("--delta needs --since: the image that the other side has")}
	}
	b := newBars(s.terminal)
	o := airgap.ExportOptions{
		Options: imageref.Options{Insecure: c.Insecure}, Name: c.As, Platform: string(c.Platform), Since: c.Since,
		Delta:    c.Delta,
		Progress: func(done, total int64) { b.update("export", done, total) },
	}
	var report *airgap.Report
	var err error
	if c.Origin || c.Delta {
		err = withDeltas(ctx, c.imageFlags.options(s, b), func(d airgap.Deltas) (err error) {
			o.Deltas, o.NoOrigin = d, !c.Origin
			report, err = airgap.Export(ctx, c.Ref, c.File, o)
			return err
		})
	} else {
		report, err = airgap.Export(ctx, c.Ref, c.File, o)
	}
	b.close()
	if err != nil {
		return err
	}
	return printCarried(s, c.JSON, report, leftOut)
}

// Help follows the flags in strata import --help.
func (importCommand) Help() string {
	return `Puts all images of a file into a proxy's store, which serves them under their names: also while its registries are out of
reach, and while it runs.

    strata import --config /etc/strata/config.yml bluefin.tar
    strata import --state /var/lib/strata/data --as ghcr.io/ublue-os/bluefin:stable made-by-skopeo.tar

Everything is verified. Images of a repository that has verify in the configuration need a good signature, in the file or in
the store, and do not take a tag back to an earlier image: else nothing is imported, and tags stay, unless --force says so. A tag
that the proxy has points to the file's image afterwards, and later versions are laid out after it.`
}

type importCommand struct {
	File string `arg:"" help:"File of strata export, or another OCI archive."`

	Config string `help:"Configuration of the proxy whose store it goes to." short:"c" placeholder:"FILE" xor:"store" required:""`
	State  string `help:"Directory of the store, in place of a configuration." placeholder:"DIR" xor:"store" required:""`
	As     string `help:"Reference to serve an image under that has no full name in the file." placeholder:"REF"`
	Force  bool   `help:"Import what is not signed as the configuration asks, too, which is served once it is, and earlier images of a tag."`
	JSON   bool   `help:"Print a JSON document."`
}

func (c *importCommand) Run(ctx context.Context, s *streams) error {
	cfg := config.Default()
	if c.Config != "" {
		var err error
		if cfg, _, err = config.Load(c.Config, s.env); err != nil {
			return usageError{configurationError(c.Config, err)}
		}
	} else {
		cfg.Storage.Parameters = map[string]any{"rootdirectory": c.State}
	}
	if cfg.WorkDir != "" { // which the proxy makes when it first starts
		if err := os.MkdirAll(cfg.WorkDir, 0o700); err != nil {
			return fmt.Errorf("work_dir: %w", err)
		}
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b := newBars(s.terminal)
	var report *airgap.Report
	err := server.WithStore(ctx, cfg, log, func(ctx context.Context, store server.OpenStore) error {
		return withDeltas(ctx, oneshot.Options{TempDir: cfg.WorkDir, Logger: log}, func(d airgap.Deltas) (err error) {
			o := airgap.ImportOptions{
				Chunks: store.Chunks, Records: catalog.New(store.Chunks, log),
				Names: name.Parser{DefaultUpstream: cfg.DefaultUpstream}, Name: c.As, Deltas: d, TempDir: cfg.WorkDir,
				Now: time.Now, Progress: func(done, total int64) { b.update("import", done, total) },
			}
			g, err := c.gate(ctx, cfg, store, o.Records, log)
			if err != nil {
				return err
			}
			o.Gate = g
			report, err = airgap.Import(ctx, c.File, o)
			return errors.Join(err, g.Close(ctx))
		})
	})
	b.close()
	if errors.Is(err, chunkstore.ErrNoSpace) {
		return fmt.Errorf("%w: make room on the disk, lower min_free or raise quota, or free some (strata gc)", err)
	}
	if err != nil {
		return err
	}
	return printCarried(s, c.JSON, report, "there already")
}

// gate holds the file to the configuration.
func (c *importCommand) gate(ctx context.Context, cfg *config.Config, store server.OpenStore, records *catalog.Records,
	log *slog.Logger) (*gate.Gate, error) {
	kept := state.New(store.Chunks, log, nil)
	engine := rechunk.Config{Store: kept, Records: kept, Locker: state.Beside(store.Beside), WorkDir: cfg.WorkDirectory(),
		Logger: log}
	if store.Leases != nil {
		engine.Locker = state.NewLocker(store.Leases, lineagePatience)
	}
	return gate.New(ctx, gate.Options{Chunks: store.Chunks, Records: records, Rule: cfg.Rule, Engine: rechunk.New(engine),
		Leases: store.Leases, Beside: store.Beside, Force: c.Force, Signs: cfg.Signing.Enabled(), Logger: log,
		Now: time.Now})
}

// lineagePatience is how long others wait for a lineage when an import dies.
const lineagePatience = 15 * time.Second

// withDeltas makes and applies deltas in a directory that goes away.
func withDeltas(ctx context.Context, o oneshot.Options, work func(airgap.Deltas) error) error {
	i, err := oneshot.NewInspector(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(work(i), i.Close())
}

// leftOut is the word for bytes that an export left out.
const leftOut = "left out"

// printCarried shows what was exported or imported.
func printCarried(s *streams, asJSON bool, r *airgap.Report, left string) error {
	if asJSON {
		return printJSON(s.out, r)
	}
	for _, e := range r.Entries {
		text := e.Name
		if text == "" {
			text = "(by digest)"
		}
		fmt.Fprintf(s.out, "%s  %s\n", e.Digest, text)
	}
	if left == leftOut && len(r.Entries) == 1 && len(r.Missing) == 0 {
		fmt.Fprintln(s.out, "nothing is signed or attested of it")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(s.out, "missing: %s: %s\n", m.What, m.Why)
	}
	for _, o := range r.Origins {
		if o.Unproven != "" {
			fmt.Fprintf(s.out, "%s  its source is not proven, it needs a signature of its own: %s\n", o.Digest, o.Unproven)
			continue
		}
		fmt.Fprintf(s.out, "%s  made of %s\n", o.Digest, o.Source)
	}
	fmt.Fprintf(s.out, "%s, %s", legible.Count(r.Blobs, "blob"), size(r.Bytes))
	if r.Left > 0 {
		fmt.Fprintf(s.out, "; %s %s", size(r.Left), left)
	}
	_, err := fmt.Fprintln(s.out)
	return err
}
