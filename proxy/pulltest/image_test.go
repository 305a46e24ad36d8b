package pulltest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

var epoch = time.Unix(1_700_000_000, 0).UTC()

// testImage is a source image in the making.
type testImage struct {
	arch    string
	labels  map[string]string
	layers  [][]byte
	docker  bool // in Docker's types
	foreign bool
}

// bootable is an image with a base layer that all have and a layer with a file of its own.
func bootable(t testing.TB, content string) *testImage {
	return &testImage{arch: "amd64", labels: map[string]string{"containers.bootc": "1"}, layers: [][]byte{
		layerOf(t, treetest.Dir("usr"), treetest.Dir("usr/lib"),
			treetest.File("usr/lib/base", strings.Repeat("base ", 4000)),
			treetest.File("usr/lib/second", strings.Repeat("second ", 3000)), treetest.Dir("sysroot")),
		layerOf(t, treetest.Dir("usr"), treetest.Dir("usr/bin"), treetest.File("usr/bin/app", content)),
	}}
}

func layerOf(t testing.TB, items ...treetest.Item) []byte {
	return treetest.Gzip(t, treetest.Tar(t, items...))
}

func (i *testImage) with(change func(*testImage)) *testImage {
	change(i)
	return i
}

// push stores the image and returns its digest.
func (i *testImage) push(t testing.TB, u *fakeUpstream) digest.Digest {
	t.Helper()
	layerType, configType, manifestType := ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageConfig,
		ocispec.MediaTypeImageManifest
	if i.docker {
		layerType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		configType = "application/vnd.docker.container.image.v1+json"
		manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType}
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: i.arch}, RootFS: ocispec.RootFS{Type: "layers"}}
	c.Config.Labels = i.labels
	for _, l := range i.layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, diffID(l))
		d := ocispec.Descriptor{MediaType: layerType, Digest: digest.FromBytes(l), Size: int64(len(l))}
		if i.foreign {
			d.MediaType, d.URLs = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
				[]string{"https://example.com/x"}
		}
		m.Layers = append(m.Layers, d)
	}
	config := marshal(t, c)
	m.Config = ocispec.Descriptor{MediaType: configType, Digest: digest.FromBytes(config), Size: int64(len(config))}
	return u.put(document{manifestType, marshal(t, m)}, append(i.layers, config)...)
}

// diffID is the digest of what a layer decompresses to; of one that is no gzip, its own.
func diffID(layer []byte) digest.Digest {
	r, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return digest.FromBytes(layer)
	}
	d, err := digest.FromReader(r)
	if err != nil {
		return digest.FromBytes(layer)
	}
	return d
}

// pushIndex stores an index. Members are descriptors, or anything that JSON can hold.
func pushIndex(t testing.TB, u *fakeUpstream, mediaType string, members []any) digest.Digest {
	t.Helper()
	return u.put(document{mediaType, marshal(t, map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "manifests": members, "annotations": map[string]string{"kept": "yes"},
		"x-unknown": 7,
	})})
}

// member is an image's descriptor in an index.
func (u *fakeUpstream) member(d digest.Digest, platform string) map[string]any {
	u.mu.Lock()
	defer u.mu.Unlock()
	os, arch, _ := strings.Cut(platform, "/")
	return map[string]any{
		"mediaType": u.manifests[d].mediaType, "digest": d, "size": len(u.manifests[d].bytes),
		"platform": map[string]string{"os": os, "architecture": arch}, "annotations": map[string]string{"note": platform},
		"x-member": true,
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func numbered(n int) string { return fmt.Sprintf("content %d\n", n) + strings.Repeat("x", 500) }

func unmarshal(t testing.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}
