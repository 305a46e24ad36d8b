package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-oci/strata/proxy/imageref"
)

// theirs OLD NEW TO [FIXTURE] writes a delta artifact into the layout TO, in the form of containers/oci-delta with no word
// of ours: how the image of one layer in the layout NEW is made of the one in OLD, by the tar-diff program, or as that did
// once and testdata/FIXTURE has kept.
func theirs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: theirs OLD NEW TO [FIXTURE]")
	}
	old, next := readLayout(ts, args[0]), readLayout(ts, args[1])
	var diff []byte
	var err error
	if len(args) > 3 {
		diff, err = os.ReadFile(filepath.Join("testdata", args[3]))
	} else {
		ts.Check(os.WriteFile(ts.MkAbs("old.tar"), old.tar, 0o600))
		ts.Check(os.WriteFile(ts.MkAbs("new.tar"), next.tar, 0o600))
		ts.Check(ts.Exec("tar-diff", "old.tar", "new.tar", "new.tardiff"))
		diff, err = os.ReadFile(ts.MkAbs("new.tardiff"))
	}
	ts.Check(err)
	r, err := imageref.Parse("oci:" + ts.MkAbs(args[2]) + ":1")
	ts.Check(err)
	to, err := r.Create(context.Background(), imageref.Options{})
	ts.Check(err)
	const prefix = "io.github.containers.delta."
	put := func(mediaType string, b []byte, annotations map[string]string) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		ts.Check(to.PutBlob(context.Background(), d, bytes.NewReader(b)))
		d.Annotations = annotations
		return d
	}
	content := func(what string) map[string]string { return map[string]string{prefix + "content": what} }
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(next.raw),
		Size: int64(len(next.raw))}
	layer := content("image-layer")
	layer[prefix+"to"] = next.manifest.Layers[0].Digest.String()
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.io.github.containers.oci-delta.v1", Subject: &subject,
		Config: put(ocispec.MediaTypeEmptyJSON, []byte("{}"), nil),
		Layers: []ocispec.Descriptor{
			put(ocispec.MediaTypeImageManifest, next.raw, content("image-manifest")),
			put(ocispec.MediaTypeImageConfig, next.config, content("image-config")),
			put("application/vnd.tar-diff", diff, layer),
		},
		Annotations: map[string]string{
			prefix + "target": subject.Digest.String(), prefix + "source": digest.FromBytes(old.raw).String(),
			prefix + "source-config": old.manifest.Config.Digest.String(),
		},
	})
	ts.Check(err)
	ts.Check(to.PutManifest(context.Background(), ocispec.MediaTypeImageManifest, raw))
	ts.Check(to.Close())
}

// layout is the image of one layer that a layout has.
type layout struct {
	raw, config, tar []byte
	manifest         ocispec.Manifest
}

func readLayout(ts *testscript.TestScript, dir string) (out layout) {
	blob := func(d digest.Digest) []byte {
		return []byte(ts.ReadFile(filepath.Join(dir, "blobs/sha256", d.Encoded())))
	}
	var index ocispec.Index
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "index.json"))), &index))
	out.raw = blob(index.Manifests[0].Digest)
	ts.Check(json.Unmarshal(out.raw, &out.manifest))
	out.config = blob(out.manifest.Config.Digest)
	z, err := gzip.NewReader(bytes.NewReader(blob(out.manifest.Layers[0].Digest)))
	ts.Check(err)
	out.tar, err = io.ReadAll(z)
	ts.Check(err)
	return out
}
