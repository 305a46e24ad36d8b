// Command strata is a registry-side delta proxy for bootable containers; see README.md.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/strata-oci/strata/rechunk/legible"
)

// version is set by the linker.
var version = ""

func main() {
	tuneCollector()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], &streams{out: os.Stdout, err: os.Stderr, env: os.Environ()}))
}

// streams are what commands talk through.
type streams struct {
	out, err io.Writer
	env      []string
	terminal io.Writer // err as it came, for bars, which move the cursor
}

// legible are the streams for text, whoever it is by.
func (s *streams) legible() *streams {
	return &streams{legible.NewWriter(s.out), legible.NewWriter(s.err), s.env, s.err}
}

type commands struct {
	Serve    serveCommand    `cmd:"" help:"Run the proxy."`
	Rechunk  rechunkCommand  `cmd:"" help:"Rechunk one image, without a server."`
	Plan     planCommand     `cmd:"" help:"Show which layers an image would get, and why, without writing anything."`
	Compare  compareCommand  `cmd:"" help:"Show what an update from one image to another costs a client."`
	Delta    deltaCommand    `cmd:"" help:"Write what leads from one image to another into a file, or apply such a file."`
	Verify   verifyCommand   `cmd:"" help:"Check that two images hold the same filesystem."`
	Warm     warmCommand     `cmd:"" help:"Have a running proxy fetch and rechunk images before clients ask."`
	Status   statusCommand   `cmd:"" help:"Show what a running proxy has and does."`
	Fleet    fleetCommand    `cmd:"" help:"Show which hosts run what, told from their pulls."`
	GC       gcCommand       `cmd:"" name:"gc" help:"Remove what nobody needs from a store."`
	Reload   reloadCommand   `cmd:"" help:"Have a running proxy take over its configuration anew."`
	Hold     holdCommand     `cmd:"" help:"Keep a tag's versions from reaching more hosts."`
	Release  releaseCommand  `cmd:"" help:"Let a tag's roll-out go on, or go back to an earlier image that is signed."`
	Rollback rollbackCommand `cmd:"" help:"Give all hosts the version of a tag again that all had before."`
	Scrub    scrubCommand    `cmd:"" help:"Read all that a store has, and mend what is damaged."`
	Prune    pruneCommand    `cmd:"" help:"Drop a tag, a repository or a lineage from a store."`
	Demo     demoCommand     `cmd:"" help:"Take a self-contained tour: no network, no privileges."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	// Hosts and keys.
	ClientConfig clientConfigCommand `cmd:"" help:"Show the files that a host needs to pull through a proxy."`
	Export       exportCommand       `cmd:"" help:"Write an image with its signatures into a file, for where no registry is."`
	Import       importCommand       `cmd:"" help:"Put the images of a file into a proxy's store."`
	Casync       casyncCommand       `cmd:"" help:"Images as chunks, for casync and desync."`
	Doctor       doctorCommand       `cmd:"" help:"Find out whether a host would get an image through the proxy, and what to change."`
	Key          keyCommand          `cmd:"" help:"Make and read the keys that a proxy signs with."`

	// For editors, shells and man.
	Config     configCommand     `cmd:"" help:"What there is to know of the configuration."`
	Completion completionCommand `cmd:"" help:"Print the completions for a shell."`
	Man        manCommand        `cmd:"" help:"Write the manual's pages into a directory."`
}

// description begins strata --help.
const description = `A registry-side delta proxy for bootable containers: the same filesystem in layers that stay, ` +
	`so that an update costs what changed.

New here? strata demo shows it at work, strata serve runs it.

Exit codes: 0 done; 1 the work failed or the check found a difference; 2 wrong use; 130 interrupted.`

// run is the whole program but for the process's own things.
func run(ctx context.Context, args []string, s *streams) int {
	s = s.legible()
	var cli commands
	exited := -1
	parser, err := kong.New(&cli, kong.Name("strata"), kong.Description(description),
		kong.Vars{"version": "strata " + programVersion()},
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}))
	if err != nil {
		return fail(ctx, s, err)
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help": // "help COMMAND" is tried as often as "COMMAND --help"
		args = append(slices.Clone(args[1:]), "--help")
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return fail(ctx, s, parseError(err))
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return fail(ctx, s, parsed.Run(s))
}

// programVersion is what the linker set, or what the build knows of the sources.
func programVersion() string {
	if version != "" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}

type versionCommand struct {
	JSON bool `help:"Print a JSON document."`
}

func (c *versionCommand) Run(s *streams) error {
	if c.JSON {
		return printJSON(s.out, map[string]string{"version": programVersion()})
	}
	return printLine(s.out, "strata", programVersion())
}
