package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/strata-oci/strata/bench/layouts"
	"github.com/strata-oci/strata/bench/process"
	"github.com/strata-oci/strata/rechunk/rechunktest/hostimport"
)

// have says that programs are there; else the error is hostimport.ErrMissing.
func have(programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%w: %w", hostimport.ErrMissing, err)
		}
	}
	return nil
}

// podman is podman with a storage of its own. What it calls a tree is casync's checksum of what it mounts, but for times.
type podman struct {
	program string
	options []string
	has     fetched
}

func (b *bench) newPodman(_ context.Context, dir string) (host, error) {
	if err := have(b.podman, "casync"); err != nil {
		return nil, err
	}
	return podman{b.podman, []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--storage-driver", "vfs"}, fetched{}}, nil
}

func (h podman) run(ctx context.Context, args ...string) (process.Usage, string, error) {
	u, out, err := process.Measure(ctx, h.program, append(h.options[:len(h.options):len(h.options)], args...)...)
	return u, strings.TrimSpace(string(out)), err
}

func (h podman) take(ctx context.Context, img *layouts.Image, _ string) (t took, err error) {
	if t.bytes, err = h.has.of(img); err != nil {
		return t, err
	}
	u, id, err := h.run(ctx, "pull", "--quiet", "oci:"+img.Name)
	if err != nil {
		return t, err
	}
	t.cpu = u.CPU
	_, root, err := h.run(ctx, "image", "mount", id)
	if err != nil {
		return t, err
	}
	_, tree, err := process.Measure(ctx, "casync", "digest", "--without=all", "--with=32bit-uids",
		"--with=permissions", "--with=symlinks", "--with=device-nodes", "--with=fifos", "--with=xattrs", root)
	if err != nil {
		return t, err
	}
	t.tree = string(tree)
	_, _, err = h.run(ctx, "image", "unmount", id)
	return t, err
}

// byCasync is a host that has the archive of the image before and makes the next one of it and of chunks.
type byCasync struct {
	dir, strata string
	seed        string // empty on the first image
}

func (b *bench) newCasync(_ context.Context, dir string) (host, error) {
	if err := have("casync", "skopeo"); err != nil {
		return nil, err
	}
	return &byCasync{dir: dir, strata: b.strata}, nil
}

func (h *byCasync) take(ctx context.Context, img *layouts.Image, tag string) (t took, err error) {
	_, out, err := process.Measure(ctx, h.strata, "casync", "export", "--json", "--name", "os", "oci:"+img.Name,
		filepath.Join(h.dir, "web"))
	if err != nil {
		return t, err
	}
	var told struct {
		Digest     string `json:"digest"`
		Index      string `json:"index"`
		Store      string `json:"store"`
		IndexBytes int64  `json:"index_bytes"`
		NewBytes   int64  `json:"new_bytes"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return t, err
	}
	archive := filepath.Join(h.dir, tag+".tar")
	args := []string{"extract", "--store=" + told.Store, told.Index, archive}
	if h.seed != "" {
		args = append(args, "--seed="+h.seed)
	}
	u, _, err := process.Measure(ctx, "casync", args...)
	if err != nil {
		return t, err
	}
	h.seed = archive
	t.bytes, t.cpu = told.IndexBytes+told.NewBytes, u.CPU
	_, got, err := process.Measure(ctx, "skopeo", "inspect", "--format", "{{.Digest}}", "oci-archive:"+archive)
	if err == nil && strings.TrimSpace(string(got)) != told.Digest {
		err = fmt.Errorf("the archive has %s, the image is %s", got, told.Digest)
	}
	return t, err
}
