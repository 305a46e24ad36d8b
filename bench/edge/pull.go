package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/bench/process"
)

// measure pulls each version through a first edge, for which deltas are made, and then through the one that is measured.
func (b *bench) measure(ctx context.Context, up *upstream, direct bool) (err error) {
	var servers []*process.Server
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.Stop())
		}
	}()
	started := func(s *process.Server, err error) error {
		if err == nil {
			servers = append([]*process.Server{s}, servers...)
		}
		return err
	}
	near, err := process.FreeAddress()
	if err != nil {
		return err
	}
	far := edgeAddress + ":5000"
	if err := errors.Join(started(b.startCentral(ctx, up.URL)), started(b.startEdge(ctx, "first", near, nil)),
		started(b.startEdge(ctx, "edge", far, b.link.inside()))); err != nil {
		return err
	}
	fmt.Fprintln(b.out, "| version | new layers | bytes | on the wire | ratio | central s | first edge s | edge s | direct bytes | direct s |")
	fmt.Fprintln(b.out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	known := map[string]bool{}
	for i, v := range up.versions {
		up.current.Store(int32(i))
		row, err := b.step(ctx, v.digest, known, near, far, direct)
		if err != nil {
			return fmt.Errorf("%s: %w", v.tag, err)
		}
		fmt.Fprintf(b.out, "| %s | %s\n", v.tag, row)
	}
	return nil
}

// step pulls the version that the upstream shows now and returns a row of the table.
func (b *bench) step(ctx context.Context, source string, known map[string]bool, near, far string, direct bool) (string,
	error) {
	began := time.Now()
	want, err := made(ctx, "http://"+centralAddress+":5000", source)
	if err != nil {
		return "", err
	}
	central := time.Since(began)
	layers, size := 0, int64(0)
	for _, l := range want.Layers {
		if d := l.Digest.String(); !known[d] {
			known[d] = true
			layers, size = layers+1, size+l.Size
		}
	}
	_, first, err := b.pull(ctx, "first", near, nil)
	if err != nil {
		return "", err
	}
	wire, seconds, err := b.pull(ctx, "edge", far, b.link.inside())
	if err != nil {
		return "", err
	}
	row := fmt.Sprintf("%d | %d | %d | %.4f | %.1f | %.1f | %.1f |", layers, size, wire, float64(wire)/float64(max(size, 1)),
		central.Seconds(), first.Seconds(), seconds.Seconds())
	if !direct {
		return row + " | |", nil
	}
	plain, slow, err := b.pull(ctx, "direct", centralAddress+":5000", b.link.inside())
	return fmt.Sprintf("%s %d | %.1f |", row, plain, slow.Seconds()), err
}

// pull copies the image with skopeo into the layout of a client, which has what it pulled before, and returns the bytes that
// came over the link meanwhile.
func (b *bench) pull(ctx context.Context, client, address string, command []string) (int64, time.Duration, error) {
	before, err := b.link.received(ctx)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	command = append(command, "skopeo", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false",
		"docker://"+address+"/"+repository+":"+tag, "oci:"+filepath.Join(b.work, "client-"+client)+":"+tag)
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w: %s", client, err, bytes.TrimSpace(out))
	}
	took := time.Since(began)
	after, err := b.link.received(ctx)
	return after - before, took, err
}

// patience is how often the central is asked whether it shows the new version: until then it serves the one before.
const patience = 200 * time.Millisecond

// made waits until the central serves what it made of a source, and returns that image's manifest.
func made(ctx context.Context, base, source string) (*ocispec.Manifest, error) {
	for {
		m, of, err := manifest(ctx, base)
		if err != nil || of == source {
			return m, err
		}
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// manifest asks a Strata for the image, and what it was made of; a central makes a first version before it answers.
func manifest(ctx context.Context, base string) (m *ocispec.Manifest, source string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	return m, resp.Header.Get("Strata-Source-Digest"), json.Unmarshal(body, &m)
}
