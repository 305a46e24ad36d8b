// Command imports measures what layers cost a host: it serves the versions of a series with several limits of layers,
// imports each with the hosts' own commands, one version after another as a host does, and prints processor time and bytes.
//
//	go run ./bench/imports -series DIR -layers 16,32,64,120
//
// It needs root and ostree. Where cfsctl is found, hosts on composefs are measured, too. The sources themselves, imported as
// they are, make the first rows. Images in ostree's form (-format ostree) are imported by ostree-ext, with the program of
// .ci/ostree-ext (-ostree-ext), which reads no plain sources.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
)

// bench is one run.
type bench struct {
	work, strata, cfsctl string
	format, ostreeExt    string
	out                  io.Writer
}

func main() { process.Main("imports", run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	b := &bench{out: out}
	flags := flag.NewFlagSet("imports", flag.ContinueOnError)
	series := flags.String("series", "", "OCI layout with a tag for each version, oldest first")
	chosen := flags.String("tags", "", "versions to import, comma-separated; default: all")
	limits := flags.String("layers", "16,32,64,120", "values of max_layers, comma-separated")
	policy := flags.String("selinux", "",
		"directory with the SELinux policy of a system, its etc/selinux: a last layer of each source")
	flags.StringVar(&b.cfsctl, "cfsctl", "cfsctl", "the command of composefs-rs; without it that column stays empty")
	flags.StringVar(&b.strata, "strata", "", "program to measure; default: built from cmd/proxy")
	flags.StringVar(&b.format, "format", layer.Zstd.Spec().Name, "format of what is served")
	flags.StringVar(&b.ostreeExt, "ostree-ext", "strata-ostree-ext", "the program of .ci/ostree-ext, for -format ostree")
	work := flags.String("work", "", "directory for temporary data; default: one in the system's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *series == "" {
		return errors.New("nothing to measure: give -series DIR")
	}
	var most []int
	for _, s := range strings.Split(*limits, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-layers: %w", err)
		}
		most = append(most, n)
	}
	if b.work, err = os.MkdirTemp(*work, "strata-imports-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.strata == "" {
		b.strata = filepath.Join(b.work, "strata")
		if err := process.BuildStrata(ctx, b.strata); err != nil {
			return err
		}
	}
	tags := strings.Split(*chosen, ",")
	if *chosen == "" {
		if tags, err = layouts.Tags(*series); err != nil {
			return err
		}
	}
	source := *series
	if *policy != "" {
		source = filepath.Join(b.work, "source")
		if err := layouts.WithPolicy(*series, source, tags, *policy); err != nil {
			return err
		}
	}
	return b.measure(ctx, source, tags, most)
}

// measure prints the table: the sources, then what is served of them with each limit.
func (b *bench) measure(ctx context.Context, source string, tags []string, limits []int) error {
	fmt.Fprintln(b.out, "| max_layers | version | layers | new | bytes of those | ostree, CPU s | composefs, CPU s |")
	fmt.Fprintln(b.out, "| --- | --- | --- | --- | --- | --- | --- |")
	encapsulated := b.format == rechunk.FormOSTree
	if !encapsulated {
		if err := b.imports(ctx, "source", source, tags, false); err != nil {
			return err
		}
	}
	for _, limit := range limits {
		name := strconv.Itoa(limit)
		served := filepath.Join(b.work, "served-"+name)
		for _, tag := range tags {
			if _, _, err := process.Measure(ctx, b.strata, "rechunk", "--state", served+".state", "--name", "os",
				"--format", b.format, "--max-layers", name, "oci:"+source+":"+tag, "oci:"+served+":"+tag); err != nil {
				return err
			}
		}
		if err := b.imports(ctx, name, served, tags, encapsulated); err != nil {
			return err
		}
		for _, dir := range []string{served, served + ".state"} {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}
