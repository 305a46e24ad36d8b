package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strata-oci/strata/bench/process"
)

// served is where servers have the same image.
type served struct {
	*process.Server
	byTag, byDigest, blob string // paths; empty where a server has no such thing
}

// serve measures a running proxy beside other servers of the same bytes: the image that Strata made of an invented one.
func (b *bench) serve(ctx context.Context) (err error) {
	registry, err := b.startDistribution(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, registry.Stop(), b.clear("registry", "store", "www", "os")) }()
	if err := b.push(ctx, registry); err != nil {
		return err
	}
	strata, err := b.startStrata(ctx, registry.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, strata.Stop()) }()

	b.say("pulling through and copying the result to distribution")
	made, err := transfer(ctx, strata.Address+"/"+upstreamHost+"/os:1", registry.Address+"/served:1")
	if err != nil {
		return err
	}
	blob, err := largest(made)
	if err != nil {
		return err
	}
	digest, err := made.Digest()
	if err != nil {
		return err
	}
	at := func(s *process.Server, repo string) served {
		base := "/v2/" + repo
		return served{s, base + "/manifests/1", base + "/manifests/" + digest.String(), base + "/blobs/" +
			blob.Digest.String()}
	}
	ours, peer := at(strata, upstreamHost+"/os"), at(registry, "served")
	b.say("%s by nginx", blob.Digest)
	files, err := b.static(ctx, ours)
	if err != nil {
		return err
	}
	if files != nil {
		defer func() { err = errors.Join(err, files.Stop()) }()
	}
	if err := b.blobs(ctx, blob.Size, ours, peer, files); err != nil {
		return err
	}
	if err := b.manifests(ctx, ours, peer); err != nil {
		return err
	}
	return b.crowd(ctx, ours, peer)
}

// push makes an image and pushes it to a registry.
func (b *bench) push(ctx context.Context, to *process.Server) error {
	image := ociLayout(b.path("os"))
	if err := image.synthesize("v1", synthetic{entries: 5_000, bytes: 512 * mib}); err != nil {
		return err
	}
	x, err := layout.ImageIndexFromPath(string(image))
	if err != nil {
		return err
	}
	m, err := x.IndexManifest()
	if err != nil {
		return err
	}
	img, err := x.Image(m.Manifests[0].Digest)
	if err != nil {
		return err
	}
	return write(ctx, to.Address+"/os:1", img)
}

func write(ctx context.Context, ref string, img v1.Image) error {
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, img, remote.WithContext(ctx))
}

// transfer copies an image between registries and returns it.
func transfer(ctx context.Context, from, to string) (v1.Image, error) {
	ref, err := name.ParseReference(from, name.Insecure)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return img, write(ctx, to, img)
}

// largest finds an image's largest layer.
func largest(img v1.Image) (v1.Descriptor, error) {
	m, err := img.Manifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if len(m.Layers) == 0 {
		return v1.Descriptor{}, errors.New("the image has no layers")
	}
	return slices.MaxFunc(m.Layers, func(a, b v1.Descriptor) int { return cmp.Compare(a.Size, b.Size) }), nil
}

// static puts the blob where nginx serves it; nil when there is no nginx.
func (b *bench) static(ctx context.Context, from served) (*served, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		b.add(unmeasured("hot blob", "nginx", "it is not installed"))
		return nil, nil
	}
	dir := b.path("www")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := download(ctx, "http://"+from.Address+from.blob, filepath.Join(dir, "blob")); err != nil {
		return nil, err
	}
	s, err := b.startNginx(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	return &served{Server: s, blob: "/blob"}, nil
}

func download(ctx context.Context, url, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, resp.Body)
	return err
}
