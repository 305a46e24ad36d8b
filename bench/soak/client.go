package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// client pulls one image after another as a host would: manifests by tag, then the layers that it lacks.
type client struct {
	w    *world
	web  *http.Client
	rand *rand.Rand
	has  map[digest.Digest]bool // layers
}

// patience bounds a request of a client.
const patience = 2 * time.Minute

func (w *world) newClient(seed uint64) *client {
	return &client{
		w: w, web: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1}},
		rand: rand.New(rand.NewPCG(w.seed, seed)), has: map[digest.Digest]bool{},
	}
}

// run pulls until ctx ends.
func (c *client) run(ctx context.Context) {
	defer c.web.CloseIdleConnections()
	for ctx.Err() == nil {
		if c.rand.IntN(10) == 0 {
			clear(c.has) // a host that is installed anew
		}
		names := c.w.truth.names()
		c.pull(ctx, names[c.rand.IntN(len(names))])
		sleep(ctx, time.Duration(c.rand.IntN(400))*time.Millisecond)
	}
}

// got is what a request brought.
type got struct {
	status int
	header http.Header
	body   []byte
	err    error // of the connection; the body is cut off then
}

func (c *client) get(ctx context.Context, replica *replica, path string) got {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+replica.address+path, nil)
	if err != nil {
		return got{err: err}
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := c.web.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, b, err}
}

// pull pulls one image and holds what it got against the truth.
func (c *client) pull(ctx context.Context, tag string) {
	w := c.w
	repository, reference, _ := cutTag(tag)
	replica := w.replicas[c.rand.IntN(len(w.replicas))]
	known := w.truth.acknowledged(tag)
	g := c.get(ctx, replica, "/v2/"+upstreamHost+"/"+repository+"/manifests/"+reference)
	switch {
	case ctx.Err() != nil:
		return
	case g.err != nil:
		w.events.add("manifest: connection lost")
		return
	case g.status != http.StatusOK:
		w.events.add(fmt.Sprintf("manifest: %d", g.status))
		if known != "" {
			w.broken.report("%s: %d for a tag that was served before: %.200s", tag, g.status, g.body)
		}
		return
	}
	served := g.header.Get("Strata-Served")
	w.events.add("manifest: " + served)
	d := digest.FromBytes(g.body)
	if want := g.header.Get("Docker-Content-Digest"); want != d.String() {
		w.broken.report("%s: manifest %s was announced as %s", tag, d, want)
		return
	}
	w.truth.acknowledge(tag, d)
	holds, ok := w.truth.source(digest.Digest(g.header.Get("Strata-Source-Digest")))
	if !ok {
		w.broken.report("%s: source %q was never published", tag, g.header.Get("Strata-Source-Digest"))
		return
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(g.body, &m); err != nil {
		w.broken.report("%s: manifest: %v", tag, err)
		return
	}
	made := m.Annotations["io.github.strata-oci.source.digest"] != ""
	layers, err := c.layers(ctx, replica, repository, m.Layers, made)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errLost) {
			w.broken.report("%s, %s: %v", tag, d, err)
		}
		return
	}
	if !maps.Equal(flatten(layers), holds) {
		w.broken.report("%s, %s: not the filesystem of its source", tag, d)
		return
	}
	w.events.add("image: pulled and the same")
}

// errLost says that a blob could not be had, for a reason that is none of the proxy's.
var errLost = errors.New("connection lost")

func (c *client) layers(ctx context.Context, from *replica, repository string, want []ocispec.Descriptor,
	made bool) ([]layerHolds, error) {
	var out []layerHolds
	for _, l := range want {
		known, ok := c.w.truth.layer(l.Digest)
		if !ok || !c.has[l.Digest] {
			b, err := c.blob(ctx, from, repository, l, made)
			if err != nil {
				return nil, err
			}
			if known, err = readLayer(b); err != nil {
				return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
			}
			c.w.truth.learnLayer(l.Digest, known)
			c.has[l.Digest] = true
		}
		out = append(out, known)
	}
	return out, nil
}

// blob fetches a blob. A layer that was made here must be there; one of a source may be out of reach with its upstream. A
// connection may be lost, but what arrived whole must be right.
func (c *client) blob(ctx context.Context, from *replica, repository string, d ocispec.Descriptor, made bool) ([]byte,
	error) {
	g := c.get(ctx, from, "/v2/"+upstreamHost+"/"+repository+"/blobs/"+d.Digest.String())
	switch {
	case g.err != nil:
		c.w.events.add("blob: connection lost")
		return nil, errLost
	case g.status != http.StatusOK:
		c.w.events.add(fmt.Sprintf("blob: %d", g.status))
		if made {
			return nil, fmt.Errorf("layer %s: %d: %.200s", d.Digest, g.status, g.body)
		}
		return nil, errLost
	case digest.FromBytes(g.body) != d.Digest:
		return nil, fmt.Errorf("layer %s: %d wrong bytes that ended as if they were right", d.Digest, len(g.body))
	}
	c.w.events.add("blob: whole")
	return g.body, nil
}
