// Command deltas compares what an update costs below the layer: Strata's deltas, and those of other programs from the same
// old image to the same new layers.
//
//	go run ./bench/deltas OLD NEW
//
// OLD and NEW are images in an OCI layout, DIR:TAG, as strata rechunk writes them. Programs that are not installed are left
// out and named. docs/bytes.md says what is compared.
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
	"strings"
	"time"

	"github.com/strata-oci/strata/bench/process"
)

func main() { process.Main("deltas", run) }

// bench is one comparison.
type bench struct {
	work, strata, old, new string
	// oldTar has all layers of the old image, newTar those of the new one that the old one lacks, both uncompressed and one
	// after another.
	oldTar, newTar string
	// oldLayers and newLayers are the same layers, each in a file of its own.
	oldLayers, newLayers []string
	newBytes             int64
	out                  io.Writer
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	b := &bench{out: out}
	flags := flag.NewFlagSet("deltas", flag.ContinueOnError)
	only := flags.String("only", "", "run only programs whose name contains one of these, comma-separated")
	flags.StringVar(&b.strata, "strata", "", "program to measure; default: built from cmd/proxy")
	speed := flags.Bool("speed", false, "make and apply the deltas on one core instead, and tell how fast that is")
	wrapping := flags.Bool("wrapping", false, "with -speed: with this machine's encoders")
	large := flags.Int("large", 0, "compare nothing, but tell what memory the delta of one file of so many MiB takes")
	work := flags.String("work", "", "directory for temporary data; default: one in the system's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 && *large == 0 {
		return errors.New("give two images, OLD and NEW, each as DIR:TAG")
	}
	b.old, b.new = flags.Arg(0), flags.Arg(1)
	if b.work, err = os.MkdirTemp(*work, "strata-deltas-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if b.strata == "" && !*speed {
		b.strata = filepath.Join(b.work, "strata")
		if err := process.BuildStrata(ctx, b.strata); err != nil {
			return err
		}
	}
	if *large > 0 {
		return b.large(ctx, *large)
	}
	if err := b.unpack(); err != nil {
		return err
	}
	if *speed {
		return b.speed(ctx, *wrapping)
	}
	fmt.Fprintf(out, "new layers: %d bytes\n\n| program | bytes | ratio | s | peak MiB |\n| --- | --- | --- | --- | --- |\n",
		b.newBytes)
	for _, p := range peers() {
		if !wanted(*only, p.name) {
			continue
		}
		if err := b.measure(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func wanted(only, name string) bool {
	for part := range strings.SplitSeq(only, ",") {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// measure runs one program and prints its row.
func (b *bench) measure(ctx context.Context, p peer) error {
	if p.program != "" {
		if _, err := exec.LookPath(p.program); err != nil {
			fmt.Fprintf(b.out, "| %s | not installed | | | |\n", p.name)
			return nil
		}
	}
	began := time.Now()
	size, peak, err := p.run(ctx, b)
	if errors.Is(err, errTooLarge) {
		fmt.Fprintf(b.out, "| %s | %v | | | |\n", p.name, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	fmt.Fprintf(b.out, "| %s | %d | %.4f | %.1f | %d |\n", p.name, size, float64(size)/float64(b.newBytes),
		time.Since(began).Seconds(), peak>>20)
	return nil
}
