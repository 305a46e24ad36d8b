package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
)

type compareCommand struct {
	Old string `arg:"" help:"Image that the client has: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	New string `arg:"" help:"Image that it updates to."`

	Compression string `help:"Compression of the floor: zstd or gzip." default:"zstd"`
	All         bool   `help:"List every component, not only the largest."`
	imageFlags
}

// Help follows the flags in strata compare --help.
func (compareCommand) Help() string {
	return `A client on OLD fetches the layers of NEW that OLD lacks: the update bytes. The floor is what the changed files alone
take in one compressed layer; nothing that consists of layers can do better. The table shows which component each
byte of the update goes to.

    strata compare oci:./out:1 oci:./out:2
    strata compare docker://quay.io/fedora/fedora-bootc:42 docker://quay.io/fedora/fedora-bootc:43`
}

// shownComponents is how many components the table has without --all.
const shownComponents = 20

func (c *compareCommand) Run(ctx context.Context, s *streams) error {
	compression, err := layer.ParseCompression(c.Compression)
	if err != nil {
		return usageError{fmt.Errorf("--compression: %w", err)}
	}
	b := newBars(s.err)
	r, err := oneshot.Compare(ctx, c.Old, c.New, compression, c.options(s, b))
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, r)
	}
	return c.print(s, r)
}

func (c *compareCommand) print(s *streams, r *rechunk.Comparison) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "update\t%s in %d of %d layers\n", size(r.UpdateBytes), r.LayersToFetch, r.LayersTotal)
	fmt.Fprintf(w, "floor\t%s: %d changed files in one layer, %d removed\n", size(r.FloorBytes), r.FilesChanged, r.FilesRemoved)
	if r.FloorBytes > 0 {
		fmt.Fprintf(w, "ratio\t%.2f\n", r.Ratio)
	}
	if err := w.Flush(); err != nil || len(r.Components) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	w = tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "sent\tchanged\tfiles\tcomponent\t")
	list := r.Components
	if !c.All && len(list) > shownComponents {
		list = list[:shownComponents]
	}
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t\n", size(p.UpdateBytes), size(p.ChangedBytes), p.FilesChanged, p.Component)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := len(r.Components) - len(list); n > 0 {
		fmt.Fprintf(s.out, "and %d more: --all lists them\n", n)
	}
	return nil
}

type verifyCommand struct {
	A string `arg:"" help:"An image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`
	B string `arg:"" help:"The other image."`

	MTime bool `help:"Compare modification times, too." name:"mtime"`
	Most  int  `help:"Most differences to list; 0 lists all." default:"100"`
	imageFlags
}

// Help follows the flags in strata verify --help.
func (verifyCommand) Help() string {
	return `Two images are the same if every path, type, mode, owner, extended attribute, link target, hardlink group and byte
is. What lies in /sysroot counts in neither, since Strata drops it from plain bootc images.

    strata verify docker://ghcr.io/ublue-os/bluefin:stable docker://proxy.example/ghcr.io/ublue-os/bluefin:stable

The exit code is 1 if they differ; the differences are listed, one a line.`
}

func (c *verifyCommand) Run(ctx context.Context, s *streams) error {
	b := newBars(s.err)
	v, err := oneshot.Verify(ctx, c.A, c.B, c.MTime, c.Most, c.options(s, b))
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(s.out, v); err != nil {
			return err
		}
	} else {
		printVerification(s, v)
	}
	if !v.Same {
		return errFailed
	}
	return nil
}

func printVerification(s *streams, v *oneshot.Verification) {
	if v.Same {
		fmt.Fprintln(s.out, "the same filesystem")
		return
	}
	for _, d := range v.Differences {
		fmt.Fprintln(s.out, d)
	}
}
