package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/strata-oci/strata/bench/process"
)

// strataRun is a lineage that the strata program keeps.
type strataRun struct {
	program string
	dir     string // of the state and the results
	layers  int
	// stale are the shares of stale bytes by version.
	stale []float64
}

func (r *strataRun) out() string { return filepath.Join(r.dir, "out") }

// next rechunks a version.
func (r *strataRun) next(ctx context.Context, s *series, tag string) (image, error) {
	out, err := output(ctx, r.program, "rechunk", "--json", "--state", filepath.Join(r.dir, "state"), "--name", "series",
		"--max-layers", strconv.Itoa(r.layers), s.ref(tag), "oci:"+r.out()+":"+tag)
	if err != nil {
		return nil, err
	}
	var report struct {
		TotalBytes int64 `json:"total_bytes"`
		StaleBytes int64 `json:"stale_bytes"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("strata rechunk's report: %w", err)
	}
	r.stale = append(r.stale, float64(report.StaleBytes)/float64(max(1, report.TotalBytes)))
	layers, err := manifest(r.out(), tag)
	if err != nil {
		return nil, err
	}
	var img image
	for _, l := range layers {
		img = append(img, sized{key: l.digest, own: l.size, ours: l.size})
	}
	return img, nil
}

// blame is a component of an update and what it costs.
type blame struct {
	Component   string `json:"component"`
	UpdateBytes int64  `json:"update_bytes"`
	// UnchangedBytes are the uncompressed bytes of its files that are sent though clients have them.
	UnchangedBytes int64  `json:"unchanged_bytes"`
	FilesChanged   int    `json:"files_changed"`
	Why            string `json:"why"`
}

// explain asks strata compare which components an update goes to, most bytes first.
func (r *strataRun) explain(ctx context.Context, old, next string) ([]blame, error) {
	out, err := output(ctx, r.program, "compare", "--json", "oci:"+r.out()+":"+old, "oci:"+r.out()+":"+next)
	if err != nil {
		return nil, err
	}
	var report struct {
		Components []blame `json:"components"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("strata compare's report: %w", err)
	}
	return report.Components, nil
}

// output runs a program and returns what it prints.
func output(ctx context.Context, program string, args ...string) ([]byte, error) {
	_, out, err := process.Measure(ctx, program, args...)
	return out, err
}

// remove empties a directory of results.
func remove(dir string) error { return os.RemoveAll(dir) }
