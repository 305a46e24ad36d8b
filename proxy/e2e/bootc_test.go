package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/layer/toc"
)

// bootc imports images as bootc does for hosts on ostree: through skopeo's image proxy, each layer as a commit of its own,
// one after another; layers that it has, by blob digest, are not fetched.
type bootc struct {
	tb      testing.TB
	dir     string
	commits map[digest.Digest]string // by blob
	// fetched counts the bytes of layers.
	fetched int64
	// skopeo is the program of the image proxy, with its flags.
	skopeo []string
}

func newBootc(tb testing.TB) *bootc {
	tb.Helper()
	need(tb, "ostree", "skopeo")
	b := &bootc{tb: tb, dir: tb.TempDir(), commits: map[digest.Digest]string{},
		skopeo: []string{"skopeo", "--insecure-policy"}}
	b.ostree("init", "--mode=bare-user")
	b.ostree("config", "set", "core.fsync", "false")
	return b
}

func (b *bootc) ostree(args ...string) string {
	b.tb.Helper()
	return command(b.tb, nil, "ostree", append(args, "--repo="+b.dir+"/repo")...)
}

// upgrade imports an image and returns a checkout of it.
func (b *bootc) upgrade(image string) string {
	b.tb.Helper()
	proxy := newImageProxy(b.tb, b.skopeo[0], b.skopeo[1:]...)
	opened := proxy.open("docker://" + image)
	var raw, rawConfig bytes.Buffer
	proxy.fetch(&raw, "GetManifest", opened)
	proxy.fetch(&rawConfig, "GetFullConfig", opened)
	var m ocispec.Manifest
	var config ocispec.Image
	for v, from := range map[any]*bytes.Buffer{&m: &raw, &config: &rawConfig} {
		if err := json.Unmarshal(from.Bytes(), v); err != nil {
			b.tb.Fatal(err)
		}
	}
	checkContract(b.tb, m, config)
	checkout, err := os.MkdirTemp(b.dir, "checkout-")
	if err != nil {
		b.tb.Fatal(err)
	}
	for i, l := range m.Layers {
		if b.commits[l.Digest] == "" {
			b.commits[l.Digest] = b.importLayer(proxy, opened, l, config.RootFS.DiffIDs[i])
		}
		b.ostree("checkout", "-U", "--union", "--whiteouts", b.commits[l.Digest], checkout)
	}
	proxy.close(opened)
	return checkout
}

// checkContract checks what bootc demands of a manifest and its config.
func checkContract(tb testing.TB, m ocispec.Manifest, config ocispec.Image) {
	tb.Helper()
	history := 0
	for _, h := range config.History {
		if !h.EmptyLayer {
			history++
		}
	}
	if n := len(m.Layers); len(config.RootFS.DiffIDs) != n || history != n {
		tb.Fatalf("%d layers, %d diff_ids, %d entries of history", n, len(config.RootFS.DiffIDs), history)
	}
	if config.Config.Labels["containers.bootc"] == "" && config.Config.Labels["ostree.bootable"] == "" {
		tb.Error("no label says that the image is bootable")
	}
	if config.Config.Labels["ostree.final-diffid"] != "" {
		tb.Error("plain layers are labelled as chunks of ostree objects")
	}
	if len(m.Layers) > 120 {
		tb.Errorf("%d layers", len(m.Layers))
	}
}

// importLayer fetches a layer, checks its digests and commits it.
func (b *bootc) importLayer(proxy *imageProxy, image json.RawMessage, l ocispec.Descriptor, diffID digest.Digest) string {
	b.tb.Helper()
	var blob bytes.Buffer
	proxy.fetch(&blob, "GetBlob", image, l.Digest, l.Size)
	if got := digest.FromBytes(blob.Bytes()); got != l.Digest {
		b.tb.Fatalf("layer %s arrives as %s", l.Digest, got)
	}
	if !toc.Told(l.Annotations) {
		checkOnePart(b.tb, l.MediaType, blob.Bytes())
	}
	b.fetched += int64(blob.Len())
	archive := filepath.Join(b.dir, "layer.tar")
	out, err := os.Create(archive)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer out.Close()
	uncompressed := digest.Canonical.Digester()
	if _, err := io.Copy(io.MultiWriter(out, uncompressed.Hash()), decompress(b.tb, l.MediaType, &blob)); err != nil {
		b.tb.Fatal(err)
	}
	if uncompressed.Digest() != diffID {
		b.tb.Errorf("layer %s has diff_id %s, the config says %s", l.Digest, uncompressed.Digest(), diffID)
	}
	commit := b.ostree("commit", "--no-bindings", "--orphan", "--tar-autocreate-parents", "--tree=tar="+archive)
	return string(bytes.TrimSpace([]byte(commit)))
}
