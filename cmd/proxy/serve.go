package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/rechunk/legible"
)

type serveCommand struct {
	Check  bool   `help:"Only look whether the configuration can be used, and the files that it names; the store is not touched."`
	Config string `help:"Configuration file; without one the defaults hold." short:"c" env:"STRATA_CONFIG" placeholder:"FILE"`
}

// Help follows the flags in strata serve --help.
func (serveCommand) Help() string {
	return `Without a configuration it listens on 127.0.0.1:5000 for clients and on 127.0.0.1:5001 for operators, keeps
its store in ./strata-data and pulls from any registry; names without a registry's host mean ghcr.io.
config.example.yml explains every key; a variable STRATA_LISTEN, STRATA_ADMIN_LISTEN, … overrides a single one.

Clients put the proxy's address before the image's name:

    podman pull --tls-verify=false 127.0.0.1:5000/ghcr.io/ublue-os/bluefin:stable
    bootc switch proxy.example/ghcr.io/ublue-os/bluefin:stable

SIGTERM or Ctrl-C stops it: running downloads finish first, as long as shutdown_timeout allows. SIGHUP, or
strata reload, has it take over its configuration anew.`
}

func (c *serveCommand) Run(ctx context.Context, s *streams) error {
	cfg, warnings, err := config.Load(c.Config, s.env)
	if err != nil {
		return usageError{configurationError(c.Config, err)}
	}
	if c.Check {
		return c.check(s, cfg, warnings)
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := newLogger(s, cfg, level)
	adoptLibraries(log)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w)
	}
	p, err := server.New(ctx, server.Options{
		Config: cfg, Version: programVersion(), Logger: log, Level: level,
		Load: func() (*config.Config, []string, error) { return config.Load(c.Config, s.env) },
	})
	if err != nil {
		return err
	}
	if err := p.Listen(ctx); err != nil {
		return errors.Join(err, p.Close())
	}
	announce(log, cfg, p)
	defer tuneServer()()
	defer reloadOnHangup(ctx, p)()
	return p.Serve(ctx)
}

// check says that a configuration can be used, and what is likely not meant in it.
func (c *serveCommand) check(s *streams, cfg *config.Config, warnings []string) error {
	if err := server.Check(cfg, programVersion()); err != nil {
		return usageError{linesError{fmt.Errorf("configuration %s: %w", c.Config, err)}}
	}
	for _, w := range warnings {
		if err := printLine(s.out, "warning:", w); err != nil {
			return err
		}
	}
	what := "the configuration of the environment"
	if c.Config != "" {
		what = "configuration " + c.Config
	}
	return printLine(s.out, what, "can be used")
}

// reloadOnHangup has a proxy take over its configuration anew on SIGHUP, until the returned function is called.
func reloadOnHangup(ctx context.Context, p *server.Server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-hangups:
				_, _ = p.Reload(ctx) // it logs what is wrong
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		cancel()
		work.Wait()
	}
}

// configurationError puts a summary before the problems of a configuration, which are one a line.
func configurationError(file string, err error) error {
	problems := new(config.Error)
	if !errors.As(err, &problems) {
		return err
	}
	if file == "" {
		file = "of the environment"
	}
	n := legible.Count(len(problems.Problems), "problem")
	return linesError{fmt.Errorf("configuration %s has %s:\n%w", file, n, problems)}
}

func newLogger(s *streams, cfg *config.Config, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(s.err, o)
	if cfg.Log.Format == config.LogJSON {
		h = slog.NewJSONHandler(s.err, o)
	}
	if cfg.Tracing.Enabled() {
		h = tracing.LogHandler(h)
	}
	return slog.New(h)
}

// announce logs where the proxy listens and how to try it.
func announce(log *slog.Logger, cfg *config.Config, p *server.Server) {
	scheme, flag := "http", " --tls-verify=false"
	if cfg.TLS.Enabled() {
		scheme, flag = "https", ""
	}
	clients := reachable(p.Addr())
	about := []any{"url", scheme + "://" + clients}
	if image := tried(cfg); image != "" {
		about = append(about, "try", "podman pull"+flag+" "+clients+"/"+image)
	}
	log.Info("listening for clients", about...)
	operators := "http://" + reachable(p.AdminAddr())
	if cfg.Admin.TLS.Enabled() {
		operators = "https://" + reachable(p.AdminAddr())
	}
	log.Info("listening for operators", "url", operators, "try", "strata status --admin "+operators)
}

// reachable is how a process on this machine reaches an address.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

// tried is an image's name behind the proxy's, with a registry that can be pulled from. References have room for one port,
// so there is none for registries that all have one.
func tried(cfg *config.Config) string {
	const image = "OWNER/IMAGE:TAG"
	all, usual := cfg.Hosts(), config.Default().DefaultUpstream
	if len(all) == 0 || slices.Contains(all, usual) {
		return usual + "/" + image
	}
	if i := slices.IndexFunc(all, func(host string) bool { return !strings.Contains(host, ":") }); i >= 0 {
		return all[i] + "/" + image
	}
	if cfg.DefaultUpstream != "" {
		return image
	}
	return ""
}
