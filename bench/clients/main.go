// Command clients shows what each client makes of each form of image: it serves three versions of a series in every form,
// has each client take them as hosts do, and prints what was fetched, what processor time it took, and whether what came
// is the source's by the client's own checksum.
//
//	go run ./bench/clients -series DIR
//
// A host begins with the first version and updates to the second; another one goes from the first to the third. Bytes are
// those of the layers that it did not have, as they are in the registry; of casync, of the index and the chunks. Processor
// time is the client's. It needs root and ostree; clients that are not there are left out, and named.
//
// Beside the forms of Strata stand the source as it is, the same made by ostree-ext as rpm-ostree does, and what other
// programs made of the series (-peer NAME=LAYOUT, with the same tags).
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

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// bench is one run.
type bench struct {
	work, strata, cfsctl, ostreeExt, podman string

	out   io.Writer
	forms []form
}

func main() { process.Main("clients", run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	b := &bench{out: out}
	flags := flag.NewFlagSet("clients", flag.ContinueOnError)
	series := flags.String("series", "", "OCI layout with a tag for each version, oldest first")
	chosen := flags.String("tags", "", "three versions, comma-separated; default: the first three")
	policy := flags.String("selinux", "",
		"directory with the SELinux policy of a system, its etc/selinux: a last layer of each source")
	flags.StringVar(&b.cfsctl, "cfsctl", "cfsctl", "the command of composefs-rs")
	flags.StringVar(&b.ostreeExt, "ostree-ext", "strata-ostree-ext", "the program of .ci/ostree-ext")
	flags.StringVar(&b.podman, "podman", "podman", "the podman to take")
	flags.StringVar(&b.strata, "strata", "", "program to measure; default: built from cmd/proxy")
	flags.Func("peer", "`NAME=LAYOUT` of images that another program made of the same versions; again for more", b.addPeer)
	work := flags.String("work", "", "directory for temporary data; default: one in the system's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *series == "" {
		return errors.New("nothing to measure: give -series DIR")
	}
	tags := strings.Split(*chosen, ",")
	if *chosen == "" {
		if tags, err = layouts.Tags(*series); err != nil {
			return err
		}
	}
	if len(tags) < 3 {
		return fmt.Errorf("%s has %d versions, three are needed", *series, len(tags))
	}
	if b.work, err = os.MkdirTemp(*work, "strata-clients-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	source := filepath.Join(b.work, "source")
	if err := layouts.WithPolicy(*series, source, tags[:3], *policy); err != nil {
		return err
	}
	return b.measure(ctx, source, [3]string(tags))
}

func (b *bench) addPeer(arg string) error {
	name, dir, ok := strings.Cut(arg, "=")
	if !ok {
		return errors.New("write NAME=LAYOUT")
	}
	b.forms = append(b.forms, form{name: name, layout: dir})
	return nil
}

// measure makes the images of all forms and prints a row for each client and each form that it takes.
func (b *bench) measure(ctx context.Context, source string, tags [3]string) error {
	if b.strata == "" {
		b.strata = filepath.Join(b.work, "strata")
		if err := process.BuildStrata(ctx, b.strata); err != nil {
			return err
		}
	}
	if err := b.makeForms(ctx, source, tags); err != nil {
		return err
	}
	fmt.Fprintln(b.out, "| client | form | first, MB | CPU s | update, MB | CPU s | two behind, MB | CPU s | same tree |")
	fmt.Fprintln(b.out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, k := range b.kinds() {
		err := b.rows(ctx, k, tags)
		if errors.Is(err, hostimport.ErrMissing) {
			fmt.Fprintf(b.out, "| %s | left out: %v | | | | | | | |\n", k.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}
