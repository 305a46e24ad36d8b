// Command passthrough measures what a cold blob costs on its way through the proxy: bytes that the process writes to disk,
// and processor time, beside curl | tee | sha256sum of the same bytes from the same server in the same run.
//
//	go run ./bench/passthrough
//
// The proxy is the real program, a process of its own; the figures are read from proc(5). Each round has other bytes, so
// that nothing is stored yet.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/bench/process"
)

func main() { process.Main("passthrough", run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("passthrough", flag.ContinueOnError)
	size := flags.Int("mb", 300, "megabytes of the blob")
	rounds := flags.Int("rounds", 3, "how often both are measured, in turns")
	strata := flags.String("strata", "", "program to measure; default: built from cmd/proxy")
	work := flags.String("work", "", "directory for temporary data; default: one in the system's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*work, "strata-passthrough-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if *strata == "" {
		*strata = filepath.Join(dir, "strata")
		if err := process.BuildStrata(ctx, *strata); err != nil {
			return err
		}
	}
	up := newUpstream(*size * 1_000_000)
	defer up.Close()
	proxy, err := startProxy(ctx, dir, *strata, up)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.Stop()) }()

	var ratios, written []float64
	for round := range *rounds {
		digest := up.change(round)
		pipe, err := pipeline(ctx, dir, up.url(digest), digest)
		if err != nil {
			return err
		}
		cpu, bytes, err := pull(ctx, proxy, digest, len(up.blob))
		if err != nil {
			return err
		}
		ratios = append(ratios, cpu.Seconds()/pipe.Seconds())
		written = append(written, float64(bytes)/float64(len(up.blob)))
		fmt.Fprintf(out, "round %d: curl|tee|sha256sum %.2f s, proxy %.2f s of CPU (%.2f); written %d bytes (%.3f)\n",
			round+1, pipe.Seconds(), cpu.Seconds(), ratios[round], bytes, written[round])
	}
	fmt.Fprintf(out, "median: CPU %.2f of the pipeline's, %.3f bytes written for each of the blob's\n", median(ratios),
		median(written))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// upstream is a registry with one blob.
type upstream struct {
	*httptest.Server
	blob []byte
}

func newUpstream(size int) *upstream {
	u := &upstream{blob: make([]byte, size)}
	_, _ = rand.NewChaCha8([32]byte{}).Read(u.blob) // never fails
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusOK)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(u.blob))
	}))
	return u
}

// change makes other bytes of the blob and returns their digest.
func (u *upstream) change(round int) string {
	binary.LittleEndian.PutUint64(u.blob, uint64(time.Now().UnixNano())+uint64(round))
	sum := sha256.Sum256(u.blob)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (u *upstream) url(digest string) string { return u.URL + "/v2/bench/blobs/" + digest }

func startProxy(ctx context.Context, dir, program string, up *upstream) (*process.Server, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "strata.yml")
	text := fmt.Sprintf("listen: %s\nstorage:\n  filesystem:\n    rootdirectory: %s\nupstreams:\n  up.test: {url: %q, insecure: true}\n",
		address, filepath.Join(dir, "store"), up.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return process.Start(ctx, "strata", address, "/v2/", program, "serve", "--config", config)
}

// pipeline is what the proxy is held against: fetch, keep, hash.
func pipeline(ctx context.Context, dir, url, digest string) (time.Duration, error) {
	kept := filepath.Join(dir, "kept")
	defer os.Remove(kept)
	u, out, err := process.Measure(ctx, "sh", "-c", `curl -sf "$0" | tee "$1" | sha256sum`, url, kept)
	if err == nil && "sha256:"+strings.Fields(string(out))[0] != digest {
		err = errors.New("the pipeline has other bytes")
	}
	return u.CPU, err
}

// pull fetches the blob through the proxy and waits until it is stored.
func pull(ctx context.Context, proxy *process.Server, digest string, size int) (cpu time.Duration, written int64,
	err error) {
	cpuBefore, writtenBefore := proxy.CPU(), proxy.Written()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+proxy.Address+"/v2/up.test/bench/blobs/"+digest,
		nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || n != int64(size) {
		return 0, 0, fmt.Errorf("status %d, %d of %d bytes: %w", resp.StatusCode, n, size, err)
	}
	time.Sleep(2 * time.Second) // it is synced, and stored
	return proxy.CPU() - cpuBefore, proxy.Written() - writtenBefore, nil
}
