// Command strata is a registry-side delta proxy for bootable containers; see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], &streams{out: os.Stdout, err: os.Stderr, env: os.Environ()}))
}

// streams are what commands talk through.
type streams struct {
	out, err io.Writer
	env      []string
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errFailed ends a command with exitFailed and without a message: its output has said it all.
var errFailed = errors.New("failed")

// usageError marks wrong use.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the proxy."`
	Rechunk rechunkCommand `cmd:"" help:"Rechunk one image, without a server."`
	Compare compareCommand `cmd:"" help:"Show what an update from one image to another costs a client."`
	Verify  verifyCommand  `cmd:"" help:"Check that two images hold the same filesystem."`
	Warm    warmCommand    `cmd:"" help:"Have a running proxy fetch and rechunk images before clients ask."`
	Status  statusCommand  `cmd:"" help:"Show what a running proxy has and does."`
	Demo    demoCommand    `cmd:"" help:"Take a self-contained tour: no network, no privileges."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// run is the whole program but for the process's own things.
func run(ctx context.Context, args []string, s *streams) int {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli, kong.Name("strata"),
		kong.Description("A registry-side delta proxy for bootable containers: the same filesystem in layers that stay, so that an update costs what changed."),
		kong.Writers(s.out, s.err), kong.UsageOnError(), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		return fail(s, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return fail(s, usageError{fmt.Errorf("%w: see strata --help", err)})
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return fail(s, parsed.Run(s))
}

// fail prints an error in one line and returns the exit code.
func fail(s *streams, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errFailed):
		return exitFailed
	}
	line := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	fmt.Fprintln(s.err, "strata:", line)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
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
	_, err := fmt.Fprintln(s.out, "strata", programVersion())
	return err
}
