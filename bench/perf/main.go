// Command perf measures Strata's speed and memory beside its peers and prints one table.
//
//	go run ./bench/perf -corpus DIR
//
// DIR is an OCI image layout with a bootable image of one gzip layer; bench/README.md says how to make one. Figures are
// medians with the extremes of all rounds; rounds of Strata and of its peers alternate. Peers that are not installed are
// named in the table as not measured.
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
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/bench/process"
)

func main() { process.Main("perf", dispatch) }

// dispatch runs the program in one of its roles: it starts itself again as load generator and as peer, so that each has a
// process of its own.
func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == roleLoad {
		return loadRole(ctx, args[1], out)
	}
	if len(args) == 3 && args[0] == roleDistribution {
		return distributionRole(ctx, args[1], args[2])
	}
	return run(ctx, args, out, os.Stderr)
}

// bench is one run of the program.
type bench struct {
	table
	corpus  ociLayout
	tag     string
	work    string
	strata  string // the program
	chunkah string
	rounds  int
	full    bool
	window  time.Duration // of one measurement under load
	log     io.Writer
	started time.Time
}

// section is a part of the table.
type section struct {
	name string
	run  func(*bench, context.Context) error
}

func sections() []section {
	return []section{
		{"first", (*bench).first},
		{"memory", (*bench).memory},
		{"next", (*bench).next},
		{"serve", (*bench).serve},
		{"plan", (*bench).plan},
		{"growth/bytes", (*bench).growBytes},
		{"growth/entries", (*bench).growEntries},
		{"growth/components", (*bench).growComponents},
		{"growth/lineage", (*bench).growLineage},
		{"growth/repositories", (*bench).growRepositories},
		{"growth/store", (*bench).growStore},
	}
}

func sectionNames() string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return strings.Join(names, ",")
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	b := &bench{log: log, started: time.Now()}
	flags := flag.NewFlagSet("perf", flag.ContinueOnError)
	corpus := flags.String("corpus", os.Getenv("STRATA_BENCH_CORPUS"), "OCI layout with the image to rechunk")
	flags.StringVar(&b.tag, "tag", "", "image of the layout; default: its first")
	work := flags.String("work", "", "directory for temporary data, some 20 GB; default: one in the system's, removed in the end")
	flags.StringVar(&b.strata, "strata", "", "program to measure; default: built from cmd/proxy")
	flags.StringVar(&b.chunkah, "chunkah", "", "the peer chunkah; default: from PATH")
	flags.IntVar(&b.rounds, "rounds", 3, "how often each pair is measured")
	flags.BoolVar(&b.full, "full", false, "measure growth to its end, which takes hours rather than minutes")
	flags.DurationVar(&b.window, "window", 4*time.Second, "how long one measurement under load lasts")
	only := flags.String("only", sectionNames(), "sections to run, with commas; growth stands for all that begin with it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b.corpus = ociLayout(*corpus)
	remove, err := b.prepare(ctx, *work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	wanted := strings.Split(*only, ",")
	for _, s := range sections() {
		group, _, _ := strings.Cut(s.name, "/")
		if !slices.Contains(wanted, s.name) && !slices.Contains(wanted, group) {
			continue
		}
		if err := s.run(b, ctx); err != nil {
			err = fmt.Errorf("section %s: %w", s.name, err)
			return errors.Join(err, b.table.write(out))
		}
	}
	return b.table.write(out)
}

// prepare finds or makes what all sections need.
func (b *bench) prepare(ctx context.Context, work string) (remove func() error, err error) {
	if b.corpus == "" {
		return nil, errors.New("no corpus: give -corpus DIR or set STRATA_BENCH_CORPUS")
	}
	if b.tag == "" {
		tags, err := b.corpus.tags()
		if err != nil || len(tags) == 0 {
			return nil, fmt.Errorf("%s is no OCI layout with tags: %w", b.corpus, err)
		}
		b.tag = tags[0]
	}
	if b.rounds < 1 {
		return nil, errors.New("-rounds is less than 1")
	}
	if work != "" {
		if err := os.MkdirAll(work, 0o755); err != nil {
			return nil, err
		}
	}
	if b.work, err = os.MkdirTemp(work, "strata-bench-*"); err != nil {
		return nil, err
	}
	remove = func() error { return os.RemoveAll(b.work) }
	if b.chunkah == "" {
		b.chunkah, _ = exec.LookPath("chunkah")
	}
	if b.strata != "" {
		return remove, nil
	}
	b.strata = b.path("strata")
	b.say("building strata")
	if err := process.BuildStrata(ctx, b.strata); err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}

// path is where a temporary file or directory of the run lies.
func (b *bench) path(name string) string { return filepath.Join(b.work, name) }

// say tells how the run goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, "%5.0f s  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

// clear removes temporary files before a measurement that must not find them.
func (b *bench) clear(names ...string) error {
	var err error
	for _, n := range names {
		err = errors.Join(err, os.RemoveAll(b.path(n)))
	}
	return err
}
