package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // the driver it keeps its blobs with

	"github.com/strata-oci/strata/bench/process"
)

const roleDistribution = "role:distribution"

// distributionRole is a process with distribution's own registry on a filesystem, with its cache of descriptors in memory
// and its default log.
func distributionRole(ctx context.Context, root, address string) error {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": root},
		"cache":      configuration.Parameters{"blobdescriptor": "inmemory"},
	}}
	config.HTTP.Secret = "bench"
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handlers.NewApp(ctx, config), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

func (b *bench) startDistribution(ctx context.Context) (*process.Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	return process.Start(ctx, "distribution", address, "/v2/", self, roleDistribution, b.path("registry"), address)
}

// startNginx serves a directory.
func (b *bench) startNginx(ctx context.Context, program, dir string) (*process.Server, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	config := fmt.Sprintf(`%sdaemon off;
pid %[2]s/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 8192;
error_log /dev/null;
events { worker_connections 4096; }
http {
	access_log /dev/null;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	client_body_temp_path %[2]s/nginx-1;
	proxy_temp_path %[2]s/nginx-2;
	fastcgi_temp_path %[2]s/nginx-3;
	uwsgi_temp_path %[2]s/nginx-4;
	scgi_temp_path %[2]s/nginx-5;
	server {
		listen %[3]s;
		root %[4]s;
	}
}
`, user, b.work, address, dir)
	if err := os.WriteFile(b.path("nginx.conf"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "up"), []byte("up\n"), 0o644); err != nil {
		return nil, err
	}
	return process.Start(ctx, "nginx", address, "/up", program, "-p", b.work, "-c", b.path("nginx.conf"))
}

// upstreamHost is what Strata calls the registry that it pulls through.
const upstreamHost = "bench.example"

// startStrata starts the proxy with an upstream and rules as the configuration file has them.
func (b *bench) startStrata(ctx context.Context, upstream string) (*process.Server, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`listen: %s
admin: {listen: %s}
storage:
  filesystem:
    rootdirectory: %s
upstreams:
  %s: {url: "http://%s", insecure: true}
repositories:
  - match: %[4]s
    rechunk: always
    refresh: 60s
`, address, admin, b.path("store"), upstreamHost, upstream)
	if err := os.WriteFile(b.path("strata.yml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	return process.Start(ctx, "strata", address, "/v2/", b.strata, "serve", "--config", b.path("strata.yml"))
}
