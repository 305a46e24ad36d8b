package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/casync/static"
	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/legible"
)

type casyncCommand struct {
	Export casyncExportCommand `cmd:"" help:"Write an image as chunks into a directory, for casync and desync and any web server."`
}

type casyncExportCommand struct {
	Ref string `arg:"" help:"Image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	Dir string `arg:"" help:"Directory of the indexes; chunks lie in its default.castr. It is made if it is not there."`

	ChunkSize    string `help:"Least, average and greatest size of chunks in KiB." default:"16:64:256" placeholder:"MIN:AVG:MAX"`
	Uncompressed bool   `help:"Write chunks as they are, without the suffix .cacnk."`
	Name         string `help:"Name of the index; the image's last word and its tag by default." placeholder:"NAME"`
	imageFlags
}

// Help follows the flags in strata casync export --help.
func (casyncExportCommand) Help() string {
	return `The index stands for an OCI archive of the image whose layers are not compressed; skopeo and podman read it. Chunks that are
there already are not written again. Serve the directory as it is:

    strata casync export docker://ghcr.io/ublue-os/bluefin:stable /srv/www/images
    casync extract https://cdn.example/images/bluefin-stable.caibx new.tar --seed=old.tar
    skopeo copy oci-archive:new.tar …

All images of one directory share their chunks; those that no index names any more are removed by desync prune. The tar stream of one
or two layers at a time is in TMPDIR.`
}

func (c *casyncExportCommand) Run(ctx context.Context, s *streams) error {
	sizes, err := casync.ParseSizes(c.ChunkSize)
	if err != nil {
		return usageError{fmt.Errorf("--chunk-size: %w", err)}
	}
	if err := static.CheckName(c.Name); err != nil {
		return usageError{fmt.Errorf("--name: %w", err)}
	}
	b := newBars(s.terminal)
	r, err := static.Export(ctx, c.Ref, c.Dir, static.Options{
		Options: imageref.Options{Platform: string(c.Platform), Insecure: c.Insecure}, Sizes: sizes,
		Uncompressed: c.Uncompressed,
		Name:         c.Name, Parallel: runtime.GOMAXPROCS(0),
		Progress: func(done, total int64) { b.update("export", done, total) },
	})
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, r)
	}
	_, err = fmt.Fprintf(s.out, "%s\n%s, %d of them new: %s; index %s\n", r.Index, legible.Count(r.Chunks, "chunk"),
		r.NewChunks, size(r.NewBytes), size(r.IndexBytes))
	return err
}
