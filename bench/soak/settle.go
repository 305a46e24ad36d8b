package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// settling bounds how long a proxy may take to catch up when nothing is wrong any more.
const settling = 3 * time.Minute

// settle waits until every replica serves what the upstream has, and verifies all of it with the program's own verify.
func (w *world) settle(ctx context.Context) {
	w.upstream.set(none)
	c := w.newClient(0)
	defer c.web.CloseIdleConnections()
	for _, r := range w.replicas {
		for _, tag := range w.truth.names() {
			if !c.current(ctx, r, tag) {
				w.broken.report("%s: replica %d does not serve the upstream's image, rechunked, %s after the last fault",
					tag, r.number, settling)
				continue
			}
			w.verify(ctx, r, tag)
		}
	}
	if out, err := exec.CommandContext(ctx, w.strata, "scrub", "--admin",
		"http://"+w.replicas[0].admin).CombinedOutput(); err != nil {
		w.broken.report("scrub at the end: %v: %s", err, out)
	}
	for _, r := range w.replicas {
		left, _ := filepath.Glob(filepath.Join(w.work, fmt.Sprintf("work-%d", r.number), "*")) // the pattern is right
		for _, f := range left {
			if b := filepath.Base(f); strings.HasPrefix(b, "spool-") || strings.HasPrefix(b, "strata-download-") {
				w.broken.report("left behind: %s", f)
			}
		}
	}
}

// current waits until a replica serves what the upstream's tag leads to, made here.
func (c *client) current(ctx context.Context, r *replica, tag string) bool {
	repository, reference, _ := cutTag(tag)
	for end := time.Now().Add(settling); time.Now().Before(end) && ctx.Err() == nil; {
		g := c.get(ctx, r, "/v2/"+upstreamHost+"/"+repository+"/manifests/"+reference)
		if g.err == nil && g.status == http.StatusOK && g.header.Get("Strata-Served") == "rechunked" &&
			digest.Digest(g.header.Get("Strata-Source-Digest")) == c.w.truth.of(tag) {
			return true
		}
		sleep(ctx, 500*time.Millisecond)
	}
	return false
}

func (w *world) verify(ctx context.Context, r *replica, tag string) {
	repository, _, _ := cutTag(tag)
	served := "docker://" + r.address + "/" + upstreamHost + "/" + tag
	source := "docker://" + w.upstream.healthy + "/" + repository + "@" + w.truth.of(tag).String()
	if out, err := exec.CommandContext(ctx, w.strata, "verify", "--insecure", served, source).CombinedOutput(); err != nil {
		w.broken.report("%s at the end: %v: %s", tag, err, out)
		return
	}
	w.events.add("end: image verified")
}
