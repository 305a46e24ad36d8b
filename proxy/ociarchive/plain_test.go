package ociarchive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/ociarchive"
	"github.com/strata-oci/strata/rechunk/image"
)

func document(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// documents are the manifest and the config of an image with these tar streams.
func documents(layers ...string) (manifest, config []byte) {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Annotations: map[string]string{"a": "b"}}
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromString(l))
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip,
			Digest: digest.FromString("packed " + l), Size: int64(len(l))})
	}
	config = document(c)
	m.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config),
		Size: int64(len(config))}
	return document(m), config
}

// archive writes all of an archive.
func archive(manifest, config []byte, layers map[digest.Digest]string) ([]byte, error) {
	p, err := ociarchive.NewPlain(manifest, config)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, d := range p.Layers() {
		before, err := p.Layer(int64(len(layers[d])))
		if err != nil {
			return nil, err
		}
		out.Write(before)
		out.WriteString(layers[d])
	}
	end, err := p.End()
	out.Write(end)
	return out.Bytes(), err
}

func TestPlain(t *testing.T) {
	t.Parallel()
	texts := []string{"one", "", "one", string(make([]byte, 512)), "four"}
	layers := map[digest.Digest]string{}
	for _, text := range texts {
		layers[digest.FromString(text)] = text
	}
	manifest, config := documents(texts...)
	b, err := archive(manifest, config, layers)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	var index ocispec.Index
	var m ocispec.Manifest
	if err := json.Unmarshal(files["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%+v, %v", index, err)
	}
	if err := json.Unmarshal(files[ociarchive.BlobName(index.Manifests[0].Digest)], &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != len(texts) || m.Annotations["a"] != "b" || len(names) != 8 || names[0] != "oci-layout" {
		t.Errorf("%v, %+v", names, m)
	}
	for i, l := range append(m.Layers, m.Config, index.Manifests[0]) {
		blob := files[ociarchive.BlobName(l.Digest)]
		if int64(len(blob)) != l.Size || digest.FromBytes(blob) != l.Digest || i < len(texts) && string(blob) != texts[i] {
			t.Errorf("%+v is %q", l, blob)
		}
	}
	if _, err := image.ParseConfig(&m, files[ociarchive.BlobName(m.Config.Digest)]); err != nil {
		t.Error(err)
	}
	if again, err := archive(manifest, config, layers); err != nil || !bytes.Equal(again, b) {
		t.Errorf("another archive, %v", err)
	}
	if len(b)%512 != 0 {
		t.Errorf("%d bytes", len(b))
	}
}

func TestPlainRefuses(t *testing.T) {
	t.Parallel()
	manifest, config := documents("one", "two")
	other, _ := documents("one")
	bad := bytes.ReplaceAll(config, []byte(digest.FromString("one")), []byte("sha256:../../../etc/passwd"))
	for what, d := range map[string][2][]byte{
		"no manifest": {[]byte("{}"), config}, "no config": {manifest, []byte("[]")}, "other layers": {other, config},
		"a diff_id that is none": {manifest, bad},
	} {
		if _, err := ociarchive.NewPlain(d[0], d[1]); !errors.Is(err, image.ErrInvalid) &&
			!errors.Is(err, image.ErrPassThrough) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, err := ociarchive.NewPlain(manifest, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.End(); err == nil {
		t.Error("an archive without its layers")
	}
}

// Whatever the documents are, there is an archive that can be read, or an error.
func FuzzPlain(f *testing.F) {
	manifest, config := documents("one", "two")
	f.Add(manifest, config)
	f.Add([]byte("{}"), []byte("{}"))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		b, err := archive(manifest, config, nil)
		if err != nil {
			return
		}
		for r := tar.NewReader(bytes.NewReader(b)); ; {
			if _, err := r.Next(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func ExampleNewPlain() {
	manifest, config := documents("tar stream")
	p, err := ociarchive.NewPlain(manifest, config)
	if err != nil {
		fmt.Println(err)
		return
	}
	before, _ := p.Layer(int64(len("tar stream")))
	end, err := p.End()
	fmt.Println(len(p.Layers()), len(before), (len(before)+len("tar stream")+len(end))%512, err)
	// Output: 1 1536 0 <nil>
}
