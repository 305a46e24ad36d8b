package demo

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
)

const (
	// upstreamHost is the name by which the demo's proxy knows its upstream registry.
	upstreamHost = "registry.example"
	repository   = "demo/os"
	// readHeaderTimeout bounds requests to the upstream.
	readHeaderTimeout = 10 * time.Second
)

// stage is two servers on loopback: an upstream registry, and the proxy in front of it.
type stage struct {
	upstream, proxy string // their addresses
	stop            context.CancelFunc
	ended           chan error
	servers         int
}

// setUp starts the servers; they keep their data in dir.
func setUp(ctx context.Context, dir, version string, log *slog.Logger) (*stage, error) {
	ctx, stop := context.WithCancel(ctx)
	s := &stage{stop: stop, ended: make(chan error, 2)}
	if err := s.startUpstream(ctx, filepath.Join(dir, "upstream")); err != nil {
		return nil, errors.Join(err, s.tearDown())
	}
	if err := s.startProxy(ctx, dir, version, log); err != nil {
		return nil, errors.Join(err, s.tearDown())
	}
	return s, nil
}

func (s *stage) startUpstream(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.upstream = socket.Addr().String()
	registry := &http.Server{
		Handler: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)),
			ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(dir))),
		ReadHeaderTimeout: readHeaderTimeout,
	}
	s.run(func() error {
		unhook := context.AfterFunc(ctx, func() { _ = registry.Close() })
		defer unhook()
		if err := registry.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

func (s *stage) startProxy(ctx context.Context, dir, version string, log *slog.Logger) error {
	p, err := server.New(ctx, server.Options{Config: s.configuration(dir), Version: version, Logger: log})
	if err != nil {
		return err
	}
	if err := p.Listen(ctx); err != nil {
		return errors.Join(err, p.Close())
	}
	s.proxy = p.Addr().String()
	s.run(func() error { return p.Serve(ctx) })
	return nil
}

// configuration is the default one but for places, and for the name that the upstream goes by.
func (s *stage) configuration(dir string) *config.Config {
	c := config.Default()
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Storage.Parameters = map[string]any{"rootdirectory": filepath.Join(dir, "store")}
	up := config.DefaultUpstreamSettings()
	up.URL, up.Insecure = "http://"+s.upstream, true
	c.Upstreams = map[string]config.Upstream{upstreamHost: up}
	c.DefaultUpstream = upstreamHost
	rule := config.DefaultRule()
	rule.Match = upstreamHost + "/**"
	rule.Platforms = []string{platform().OS + "/" + platform().Architecture}
	c.Repositories = []config.Rule{rule}
	return c
}

func (s *stage) run(serve func() error) {
	s.servers++
	go func() { s.ended <- serve() }()
}

// tearDown stops the servers and waits for them.
func (s *stage) tearDown() error {
	s.stop()
	var err error
	for ; s.servers > 0; s.servers-- {
		err = errors.Join(err, <-s.ended)
	}
	return err
}
