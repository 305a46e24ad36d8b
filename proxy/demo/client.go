package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/image"
)

// client pulls images as container tools do: it keeps the blobs that it has and fetches those that it lacks.
type client struct {
	http *http.Client
	// base is the registry's address with the repository, "http://host:port/v2/name".
	base string
	// layout is the directory, an OCI image layout, where it keeps images.
	layout string
}

// pulled says what a pull cost.
type pulled struct {
	digest     digest.Digest
	served     string // what the proxy says it served; empty from others
	bytes      int64
	seconds    float64
	layers     int
	layersHeld int // those that the client had
}

// ref names an image that was pulled.
func (c *client) ref(tag string) string { return "oci:" + c.layout + ":" + tag }

// pull fetches an image by its tag; got hears of bytes as they come. Digests are verified.
func (c *client) pull(ctx context.Context, tag string, got func(int64)) (p pulled, err error) {
	start := time.Now()
	to, err := create(ctx, c.ref(tag))
	if err != nil {
		return p, err
	}
	raw, header, err := c.manifest(ctx, tag)
	if err != nil {
		return p, err
	}
	m, err := image.ReadManifest(raw)
	if err != nil {
		return p, fmt.Errorf("manifest of %s: %w", tag, err)
	}
	p.bytes, p.digest, p.layers = int64(len(raw)), digest.FromBytes(raw), len(m.Layers)
	p.served = header.Get("Strata-Served")
	if said := header.Get("Docker-Content-Digest"); said != p.digest.String() {
		return p, fmt.Errorf("manifest of %s is %s, but was called %s", tag, p.digest, said)
	}
	for i, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		has, err := to.Has(ctx, d.Digest)
		if err != nil {
			return p, err
		}
		if has && i > 0 {
			p.layersHeld++
		}
		if has {
			continue
		}
		if err := c.blob(ctx, d, to, got); err != nil {
			return p, err
		}
		p.bytes += d.Size
	}
	if err := to.PutManifest(ctx, header.Get("Content-Type"), raw); err != nil {
		return p, err
	}
	p.seconds = time.Since(start).Seconds()
	return p, to.Close()
}

func (c *client) manifest(ctx context.Context, tag string) ([]byte, http.Header, error) {
	response, err := c.get(ctx, "/manifests/"+tag)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, image.MaxDocument+1))
	if err == nil && len(raw) > image.MaxDocument {
		err = fmt.Errorf("manifest of %s is longer than %d bytes", tag, image.MaxDocument)
	}
	return raw, response.Header, err
}

// blob fetches one blob; the layout verifies its size and digest.
func (c *client) blob(ctx context.Context, d ocispec.Descriptor, to imageref.Destination, got func(int64)) error {
	response, err := c.get(ctx, "/blobs/"+d.Digest.String())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return to.PutBlob(ctx, d, &observed{response.Body, got})
}

func (c *client) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		_ = response.Body.Close()
		return nil, fmt.Errorf("GET %s: %s: %s", request.URL, response.Status, text)
	}
	return response, nil
}

// observed tells of the bytes that are read.
type observed struct {
	io.Reader
	got func(int64)
}

func (o *observed) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	o.got(int64(n))
	return n, err
}

// create opens a place for an image.
func create(ctx context.Context, ref string) (imageref.Destination, error) {
	r, err := imageref.Parse(ref)
	if err != nil {
		return nil, err
	}
	return r.Create(ctx, imageref.Options{})
}
