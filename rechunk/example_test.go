package rechunk_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// exampleEngine is an engine on a store in memory. A real store is proxy/state's, on a chunkstore.
func exampleEngine() (e *rechunk.Engine, close func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	store := &rechunktest.MemoryStore{}
	return rechunk.New(rechunk.Config{Store: store, Records: store, WorkDir: dir}), func() { _ = os.RemoveAll(dir) }
}

// exampleImage is a bootable image of one layer.
func exampleImage(body string) *rechunktest.Image {
	return rechunktest.NewImage(&testing.T{}, rechunktest.ImageOptions{}, []Item{
		Dir("."), Dir("usr"), File("usr/kernel", "the same"), File("usr/program", body),
	})
}

// An image is made against those of its lineage. A source that was made before costs nothing.
func ExampleEngine_Rechunk() {
	engine, done := exampleEngine()
	defer done()
	options := rechunk.Options{MaxLayers: 64, MaxStale: 0.1, Format: layer.Zstd, Versions: 10}
	for _, body := range []string{"one", "two", "two"} {
		r, err := engine.Rechunk(context.Background(), exampleImage(body).Request("ghcr.io/example/os", options))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("version %d for %s, made before: %t\n", r.Sequence, r.Platform, r.Reused)
	}
	// Output:
	// version 1 for linux/amd64, made before: false
	// version 2 for linux/amd64, made before: false
	// version 2 for linux/amd64, made before: true
}

// Ready is told of layers before the image is complete, Progress of how far it is.
func ExampleRequest() {
	engine, done := exampleEngine()
	defer done()
	req := exampleImage("one").Request("example", rechunk.Options{MaxLayers: 1, Format: layer.Gzip})
	req.Ready = func(d ocispec.Descriptor) { fmt.Println("a layer is there:", d.MediaType) }
	if _, err := engine.Rechunk(context.Background(), req); err != nil {
		fmt.Println(err)
	}
	// Output: a layer is there: application/vnd.oci.image.layer.v1.tar+gzip
}

// An inspection shows the filesystem that clients get.
func ExampleEngine_Inspect() {
	engine, done := exampleEngine()
	defer done()
	in, err := engine.Inspect(context.Background(), exampleImage("one").Request("", rechunk.Options{}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer in.Close()
	for _, e := range in.Tree.Entries {
		fmt.Println(e.Kind, e.Path, e.Size)
	}
	// Output:
	// directory . 0
	// directory usr 0
	// file usr/kernel 8
	// file usr/program 3
}

// Equal options have equal fingerprints, and options that differ in any field have not.
func ExampleOptions_Fingerprint() {
	a := rechunk.Options{MaxLayers: 64, Format: layer.Zstd}
	b := a
	b.Platforms = []string{"linux/arm64"}
	fmt.Println(a.Fingerprint() == b.Fingerprint(), len(a.Fingerprint()))
	// Output: false 16
}

// Versions of a lineage are listed newest first.
func ExampleEngine_LineageOf() {
	engine, done := exampleEngine()
	defer done()
	o := rechunk.Options{MaxLayers: 64, Format: layer.Zstd, Versions: 10}
	for _, body := range []string{"one", "two"} {
		if _, err := engine.Rechunk(context.Background(), exampleImage(body).Request("example", o)); err != nil {
			fmt.Println(err)
		}
	}
	versions, err := engine.LineageOf(context.Background(), "example", "linux/amd64")
	for _, v := range versions {
		fmt.Println(v.Sequence, v.SourceDigest.Algorithm() == digest.SHA256)
	}
	fmt.Println(err)
	// Output:
	// 2 true
	// 1 true
	// <nil>
}
