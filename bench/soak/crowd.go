package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// crowd has many clients pull one image that the proxy has never seen.
func crowd(ctx context.Context, o options, work string, out io.Writer) (err error) {
	o.quota = "0"
	w := &world{options: o, work: work, truth: newTruth()}
	defer func() { err = errors.Join(err, w.stop()) }()
	if w.upstream, err = startUpstream(ctx, filepath.Join(work, "upstream")); err != nil {
		return err
	}
	if err := w.pushLayout(o.image); err != nil {
		return err
	}
	for i := range o.replicas {
		r, err := w.newReplica(i)
		if err != nil {
			return err
		}
		w.replicas = append(w.replicas, r)
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	if o.killOne && o.replicas > 1 {
		go func() {
			sleep(ctx, 5*time.Second) // while it rechunks
			if err := w.replicas[0].kill(); err == nil {
				w.events.add("proxy killed")
			}
		}()
	}
	began := time.Now()
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range o.crowd {
		wg.Go(func() {
			if err := w.pullAll(ctx, i, i%hashes == 0); err != nil {
				failed.Add(1)
				w.events.add("client failed: " + err.Error())
			}
		})
	}
	wg.Wait()
	for _, r := range w.replicas {
		r.remember()
		fmt.Fprintf(out, "replica %d: peak memory %d MiB\n", r.number, r.peak>>20)
	}
	path, n := w.upstream.blobs.most()
	fmt.Fprintf(out, "%d clients in %s, %d failed; the blob fetched most often was fetched %d times (%s)\n", o.crowd,
		time.Since(began).Round(time.Second), failed.Load(), n, path)
	w.events.write(out)
	if failed.Load() > 0 || n > 1 && !o.killOne {
		return errBroken
	}
	return nil
}

func (w *world) pushLayout(image string) error {
	dir, tag, _ := strings.Cut(image, ":")
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range list.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] != tag {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		return w.push("os:crowd", img)
	}
	return fmt.Errorf("%s has no image %q", dir, tag)
}

func (w *world) push(tag string, img v1.Image) error {
	ref, err := name.ParseReference(w.upstream.healthy + "/" + tag)
	if err != nil {
		return err
	}
	return remote.Write(ref, img)
}

// attempts is how often a client of a crowd tries: hosts do, and a balancer sends them to another replica.
const attempts = 4

// hashes: one client of so many hashes what it gets, the others count bytes. A thousand that hash would measure themselves.
const hashes = 20

// pullAll pulls the image as one client: the manifest, then layers one after another.
func (w *world) pullAll(ctx context.Context, n int, hash bool) error {
	web := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}
	defer web.CloseIdleConnections()
	var err error
	for try := range attempts {
		at := w.replicas[(n+try)%len(w.replicas)]
		if err = pullFrom(ctx, web, "http://"+at.address+"/v2/"+upstreamHost+"/os", hash); err == nil ||
			len(w.replicas) == 1 {
			return err
		}
	}
	return err
}

func pullFrom(ctx context.Context, web *http.Client, base string, hash bool) error {
	var b strings.Builder
	if err := fetch(ctx, web, base+"/manifests/crowd", &b); err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(b.String()), &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		want := sized{size: d.Size}
		if hash {
			want.digester = digest.Canonical.Digester()
		}
		if err := fetch(ctx, web, base+"/blobs/"+d.Digest.String(), &want); err != nil {
			return err
		}
		if want.size != 0 || hash && want.digester.Digest() != d.Digest {
			return errors.New("wrong bytes")
		}
	}
	return nil
}

// sized counts, and may hash, what is written to it.
type sized struct {
	size     int64 // that is still to come
	digester digest.Digester
}

func (s *sized) Write(b []byte) (int, error) {
	s.size -= int64(len(b))
	if s.digester != nil {
		return s.digester.Hash().Write(b)
	}
	return len(b), nil
}

func fetch(ctx context.Context, web *http.Client, url string, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := web.Do(req)
	if err != nil {
		return errors.New("connection lost")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return errors.New("body cut off")
	}
	return nil
}
