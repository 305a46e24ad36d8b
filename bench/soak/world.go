package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/bench/process"
)

// upstreamHost is the name that images of the upstream have.
const upstreamHost = "registry.test"

// world is everything that takes part.
type world struct {
	options
	work     string
	upstream *upstream
	replicas []*replica
	truth    *truth
	events   counts
	broken   violations
}

func cutTag(s string) (repository, tag string, ok bool) { return strings.Cut(s, ":") }

// newWorld starts the upstream, publishes a first version of every tag and starts the proxies.
func newWorld(ctx context.Context, o options, work string) (_ *world, err error) {
	w := &world{options: o, work: work, truth: newTruth()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	if w.upstream, err = startUpstream(ctx, filepath.Join(work, "upstream")); err != nil {
		return nil, err
	}
	for i := range o.tags {
		first := system{name: fmt.Sprintf("system %d", i/2)} // two tags a repository start from the same system
		if err := w.publish(fmt.Sprintf("os-%d:%s", i/2, [...]string{"stable", "next"}[i%2]), first); err != nil {
			return nil, err
		}
	}
	for i := range o.replicas {
		r, err := w.newReplica(i)
		if err != nil {
			return nil, err
		}
		w.replicas = append(w.replicas, r)
		if err := r.start(ctx); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) stop() error {
	var err error
	for _, r := range w.replicas {
		err = errors.Join(err, r.stop())
	}
	if w.upstream != nil {
		w.upstream.stop()
	}
	return err
}

// publish pushes a system under a tag, past all faults.
func (w *world) publish(tag string, s system) error {
	img, holds, err := s.image()
	if err != nil {
		return err
	}
	d, err := img.Digest()
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(w.upstream.healthy + "/" + tag)
	if err != nil {
		return err
	}
	w.truth.published(digest.Digest(d.String()), holds)
	if err := remote.Write(ref, img); err != nil {
		return fmt.Errorf("publish %s: %w", tag, err)
	}
	w.truth.moved(tag, digest.Digest(d.String()), s)
	return nil
}

// replica is a strata serve.
type replica struct {
	w              *world
	number         int
	address, admin string
	config         string
	server         *process.Server
	peak           int64
}

func (w *world) newReplica(n int) (*replica, error) {
	r := &replica{w: w, number: n, config: filepath.Join(w.work, fmt.Sprintf("strata-%d.yml", n))}
	var err error
	if r.address, err = process.FreeAddress(); err != nil {
		return nil, err
	}
	if r.admin, err = process.FreeAddress(); err != nil {
		return nil, err
	}
	return r, os.WriteFile(r.config, []byte(w.configuration(r)), 0o600)
}

// configuration is that of a replica: everything often, and little room.
func (w *world) configuration(r *replica) string {
	storage := fmt.Sprintf("  filesystem:\n    rootdirectory: %s\n", filepath.Join(w.work, "store"))
	if w.s3 != "" {
		storage = fmt.Sprintf("  s3:\n    bucket: %s\n    region: us-east-1\n    regionendpoint: %s\n    forcepathstyle: true\n"+
			"    accesskey: %s\n    secretkey: %s\n", w.bucket, w.s3, os.Getenv("AWS_ACCESS_KEY_ID"),
			os.Getenv("AWS_SECRET_ACCESS_KEY"))
	}
	redis := ""
	if w.redis != "" {
		redis = "redis:\n  address: " + w.redis + "\n"
	}
	return fmt.Sprintf(`listen: %s
admin:
  listen: %s
log:
  format: json
storage:
%swork_dir: %s
%squota: %s
gc:
  interval: 20s
  grace: 15m
scrub:
  interval: 30s
default_upstream: %s
upstreams:
  %[7]s:
    url: %s
    insecure: true
    attempts: 2
    timeout: 5s
repositories:
  - match: "**"
    refresh: 1s
    keep_versions: 3
    max_stale: 20%%
`, r.address, r.admin, storage, filepath.Join(w.work, fmt.Sprintf("work-%d", r.number)), redis, w.quota, upstreamHost, w.upstream.url())
}

func (r *replica) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(r.w.work, fmt.Sprintf("strata-%d.log", r.number)),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.server, err = process.StartLogging(ctx, log, "strata", r.address, "/v2/", r.w.strata, "serve", "--config", r.config)
	return err
}

// remember keeps the most memory that any process of the replica had.
func (r *replica) remember() { r.peak = max(r.peak, r.server.Peak()) }

func (r *replica) kill() error {
	r.remember()
	return r.server.Kill()
}

func (r *replica) stop() error {
	if r.server == nil {
		return nil
	}
	r.remember()
	return r.server.Stop()
}

// sleep waits, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// between is a random time in a range.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}
