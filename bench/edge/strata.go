package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strata-oci/strata/bench/process"
)

// repository and tag are what is pulled, under the name that both Stratas know it by.
const (
	upstreamHost = "bench.example"
	repository   = upstreamHost + "/os"
	tag          = "stable"
)

// startCentral starts the Strata that rechunks, at the near end of the link.
func (b *bench) startCentral(ctx context.Context, registry string) (*process.Server, error) {
	config := fmt.Sprintf(`upstreams:
  %s: {url: %q, insecure: true}
repositories:
  - match: %[1]s/*
    rechunk: always
    refresh: 0s
    first_pull: wait
    first_pull_timeout: 1h
    noise: %[3]s
`, upstreamHost, registry, b.noise)
	return b.start(ctx, "central", nil, centralAddress+":5000", config)
}

// startEdge starts a Strata that fetches deltas of the central. command runs it where it is to be.
func (b *bench) startEdge(ctx context.Context, name, address string, command []string) (*process.Server, error) {
	config := fmt.Sprintf(`upstreams:
  %s: {via: "http://%s:5000", insecure: true}
seeds: [{store: true}]
deltas: {wait: 1h, prefer: %s}
repositories:
  - match: %[1]s/*
    refresh: 0s
`, upstreamHost, centralAddress, b.prefer)
	return b.start(ctx, name, command, address, config)
}

// start starts a Strata with a store of its own.
func (b *bench) start(ctx context.Context, name string, command []string, address, config string) (*process.Server, error) {
	admin, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	config = fmt.Sprintf("listen: %s\nadmin: {listen: %s}\nstorage: {filesystem: {rootdirectory: %q}}\nlog: {level: debug}\n%s", address, admin,
		filepath.Join(b.work, name), config)
	file := filepath.Join(b.work, name+".yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.work, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command = append(command, b.strata, "serve", "--config", file)
	return process.StartLogging(ctx, log, name, address, "/v2/", command[0], command[1:]...)
}
