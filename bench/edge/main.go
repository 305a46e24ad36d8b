// Command edge measures what an update costs between two Stratas: a stock client pulls the versions of a series through an
// edge, whose central rechunks them, and the kernel counts the bytes on the virtual cable between the two.
//
//	go run ./bench/edge -series DIR
//
// It needs root, for the network namespace that the edge runs in, and skopeo. With -link 10mbit the cable is that slow, and
// the same versions are pulled over it by a client that has no edge, too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/strata-oci/strata/bench/process"
)

// bench is one run.
type bench struct {
	work, strata, prefer, noise string
	link                        *link
	out                         io.Writer
}

func main() { process.Main("edge", run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	b := &bench{out: out}
	flags := flag.NewFlagSet("edge", flag.ContinueOnError)
	series := flags.String("series", "", "OCI layout with a tag for each version, oldest first")
	tags := flags.String("tags", "", "versions to pull, comma-separated; default: all")
	rate := flags.String("link", "", "how fast the link is, as tc(8) has it: 10mbit; default: as fast as it can be")
	direct := flags.Bool("direct", false, "pull over the link without an edge, too")
	keep := flags.Bool("keep", false, "keep the temporary data, with the logs")
	flags.StringVar(&b.prefer, "prefer", "bytes", "what the edge prefers: bytes or time")
	flags.StringVar(&b.noise, "noise", "serve", "what the central does about build noise: serve or keep")
	flags.StringVar(&b.strata, "strata", "", "program to measure; default: built from cmd/proxy")
	work := flags.String("work", "", "directory for temporary data; default: one in the system's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *series == "" {
		return errors.New("nothing to measure: give -series DIR")
	}
	if b.work, err = os.MkdirTemp(*work, "strata-edge-*"); err != nil {
		return err
	}
	if *keep {
		fmt.Fprintln(out, "data in", b.work)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	}
	if b.strata == "" {
		b.strata = filepath.Join(b.work, "strata")
		if err := process.BuildStrata(ctx, b.strata); err != nil {
			return err
		}
	}
	var chosen []string
	if *tags != "" {
		chosen = strings.Split(*tags, ",")
	}
	up, err := newUpstream(*series, chosen)
	if err != nil {
		return err
	}
	defer up.Close()
	if b.link, err = newLink(ctx, *rate); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.link.close()) }()
	return b.measure(ctx, up, *direct)
}
