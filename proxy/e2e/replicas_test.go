package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strata-oci/strata/proxy/programtest"
)

// fetchImage pulls an image: its manifest, which it returns, and every blob.
func fetchImage(ctx context.Context, image string) ([]byte, error) {
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if _, err := img.RawConfigFile(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		rc, err := l.Compressed() // checks the digest
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		_, err = io.Copy(io.Discard, rc)
		if err = errors.Join(err, rc.Close()); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	return img.RawManifest()
}

// Many clients pull a cold image through two replicas: it is made once, the upstream serves each blob once, and all get the
// same. Then Redis dies, and each replica goes on alone.
func TestReplicas(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	f := newFleet(t, u, 2, "")
	first := f.pull("v1", 40)
	if n := f.made(); n != 1 {
		t.Errorf("the image was made %d times", n)
	}
	for path, n := range u.fetched("/blobs/") {
		if n != 1 {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
	f.pull("v2", 8)
	if n := f.made(); n != 2 {
		t.Errorf("two images were made %d times", n)
	}

	f.redis.Kill()
	f.pull("v2", 4)
	for _, p := range f.replicas {
		p.Log.Await(t, func(l programtest.Line) bool { return l["msg"] == "redis does not answer, this replica goes on alone" })
		if raw, err := pullWhole(t.Context(), p, "v3"); err != nil || len(raw) == 0 {
			t.Errorf("a new version without redis: %v", err)
		}
	}
	f.redis.Restart(t)
	for _, p := range f.replicas {
		p.Log.Await(t, func(l programtest.Line) bool { return l["msg"] == "redis answers again" })
		if n := len(p.Log.Find(func(l programtest.Line) bool {
			return l["level"] == "WARN" &&
				l["address"] != nil
		})); n != 1 {
			t.Errorf("the outage was logged %d times", n)
		}
	}
	if again := f.pull("v1", 4); again != first {
		t.Errorf("v1 was %s and is %s", first, again)
	}
}

// The replica that has the job dies, and another one takes over.
func TestReplicaDiesAtWork(t *testing.T) {
	t.Parallel()
	u := newSeries(t)
	f := newFleet(t, u, 2, "")
	dying, other := f.replicas[0], f.replicas[1]
	h := u.holdBlobs(200_000)
	left := dying.pullInBackground(t.Context(), "v1")
	<-h.reached
	type outcome struct {
		raw []byte
		err error
	}
	got := make(chan outcome, 1)
	ctx, stop := context.WithTimeout(t.Context(), programtest.Patience)
	defer stop()
	go func() {
		raw, err := pullWhole(ctx, other, "v1")
		got <- outcome{raw, err}
	}()
	dying.Kill()
	<-left
	h.release()
	if o := <-got; o.err != nil || len(o.raw) == 0 {
		t.Fatalf("the other replica: %v", o.err)
	}
	if n := len(other.Log.Find(func(l programtest.Line) bool { return l["msg"] == "image rechunked" })); n != 1 {
		t.Errorf("the other replica made %d images", n)
	}
	dying.start()
	f.pull("v1", 4)
	f.pull("v2", 4)
	checkLayers(t, dying.image("os/image:v2"), "application/vnd.oci.image.layer.v1.tar+zstd")
}
