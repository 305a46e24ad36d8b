package image

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// parse reads a source image that must be good.
func parse(t *testing.T, manifest, config string) *Source {
	t.Helper()
	m, err := ParseManifest([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(m, []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return &Source{Digest: digest.FromString(manifest), Manifest: *m, RawConfig: []byte(config), Config: *c}
}

var twoLayers = []Layer{
	{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: digest.FromString("1"), Size: 11, DiffID: digest.FromString("one"),
		Name: "kernel"},
	{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("2"), Size: 22, DiffID: digest.FromString("two"),
		Name: "17 packages"},
}

const sourceConfig = `{"created":"2026-01-02T03:04:05.6+02:00","architecture":"arm64","variant":"v8","os":"linux","os.features":["x"],
 "config":{"Labels":{"containers.bootc":"1","ostree.commit":"c","ostree.final-diffid":"d","ostree.linux":"6.1"},
 "Env":["A=<b>"],"Healthcheck":{"Test":["x"]}},
 "moby.buildkit.buildinfo.v1":"x","history":[{"created_by":"a"},{"empty_layer":true},{}],"container_config":null,
 "rootfs":{"type":"layers","diff_ids":["` + digestA + `"]}}`

func TestBuild(t *testing.T) {
	t.Parallel()
	src := parse(t, manifest(`,"annotations":{"ostree.commit":"c","ostree.final-diffid":"d","a":"b"},"artifactType":"x/y","subject":`+
		descriptor(ociType, digestB, ""), layerOf(ocispec.MediaTypeImageLayer)), sourceConfig)
	for plain, labels := range map[bool]map[string]any{
		true:  {"containers.bootc": "1", "ostree.linux": "6.1"},
		false: {"containers.bootc": "1", "ostree.linux": "6.1", "ostree.commit": "c", "ostree.final-diffid": "d"},
	} {
		config, m, err := Build(src, twoLayers, Made{Plain: plain})
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		mustUnmarshal(t, []byte(sourceConfig), &want)
		mustUnmarshal(t, config.Bytes, &got)
		want["config"].(map[string]any)["Labels"] = labels
		want["rootfs"] = map[string]any{"type": "layers",
			"diff_ids": []any{twoLayers[0].DiffID.String(), twoLayers[1].DiffID.String()}}
		const created = "2026-01-02T03:04:05.6+02:00"
		want["history"] = []any{
			map[string]any{"created": created, "created_by": "strata: kernel"},
			map[string]any{"created": created, "created_by": "strata: 17 packages"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("plain %t: -want +got\n%s", plain, diff)
		}
		var manifest ocispec.Manifest
		mustUnmarshal(t, m.Bytes, &manifest)
		annotations := map[string]string{"a": "b", AnnotationSource: src.Digest.String()}
		if !plain {
			annotations["ostree.commit"], annotations["ostree.final-diffid"] = "c", "d"
		}
		wantManifest := ocispec.Manifest{
			Versioned: src.Manifest.Versioned, MediaType: ociType, ArtifactType: "x/y", Annotations: annotations,
			Subject: src.Manifest.Subject,
			Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config.Bytes),
				Size: int64(len(config.Bytes))},
			Layers: []ocispec.Descriptor{
				{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: twoLayers[0].Digest, Size: 11},
				{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: twoLayers[1].Digest, Size: 22},
			},
		}
		if diff := cmp.Diff(wantManifest, manifest); diff != "" {
			t.Errorf("plain %t: -want +got\n%s", plain, diff)
		}
		if m.MediaType != ociType || m.Digest != digest.FromBytes(m.Bytes) || config.Digest != manifest.Config.Digest {
			t.Errorf("%+v, %+v", m.Digest, config.Digest)
		}
		again, same, err := Build(src, twoLayers, Made{Plain: plain})
		if err != nil || !bytes.Equal(again.Bytes, config.Bytes) || !bytes.Equal(same.Bytes, m.Bytes) {
			t.Errorf("another result the next time: %v", err)
		}
	}
}

func mustUnmarshal(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

// Docker's documents become OCI's.
func TestBuildFromDocker(t *testing.T) {
	t.Parallel()
	src := parse(t, `{"schemaVersion":2,"mediaType":"`+DockerManifest+`","config":`+descriptor(dockerConfig, digestA,
		"")+`,"layers":[`+
		layerOf(dockerLayer+".gzip")+`]}`, `{"os":"linux","docker_version":"1","rootfs":{"type":"layers","diff_ids":["x"]}}`)
	config, m, err := Build(src, twoLayers, Made{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	var got ocispec.Manifest
	mustUnmarshal(t, m.Bytes, &got)
	if got.MediaType != ociType || got.Config.MediaType != ocispec.MediaTypeImageConfig ||
		config.MediaType != ocispec.MediaTypeImageConfig {
		t.Errorf("%+v", got)
	}
	var c ocispec.Image
	mustUnmarshal(t, config.Bytes, &c)
	if len(c.History) != 2 || c.History[0].Created == nil || !c.History[0].Created.Equal(time.Unix(0, 0)) {
		t.Errorf("history: %+v", c.History)
	}
}

// Names that are spelled in another case are what they are to Go's readers, and there is one of each in the end.
func TestBuildNormalisesNames(t *testing.T) {
	t.Parallel()
	src := parse(t, manifest("", layerOf(ocispec.MediaTypeImageLayer)),
		`{"Config":{"labels":{"ostree.commit":"1","a":"b"}},"History":[],"RootFS":{"Diff_IDs":["x"]}}`)
	config, _, err := Build(src, twoLayers, Made{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	mustUnmarshal(t, config.Bytes, &got)
	if diff := cmp.Diff(map[string]any{"Labels": map[string]any{"a": "b"}}, got["config"]); diff != "" || len(got) != 3 {
		t.Errorf("%s: %s", config.Bytes, diff)
	}
}

// FuzzBuild: any manifest and config that are accepted give an image that is accepted, with a history entry and a diff_id
// for each layer, the same platform and labels, and nothing that announces an ostree encapsulation.
func FuzzBuild(f *testing.F) {
	m := manifest(`,"annotations":{"a":"b"}`, layerOf(ocispec.MediaTypeImageLayer))
	f.Add([]byte(m), []byte(sourceConfig))
	f.Add([]byte(m), []byte(`{"Config":{"labels":{"ostree.commit":"1"}},"created":"9999-12-31T23:59:59-23:59","rootfs":{"diff_ids":[null]}}`))
	f.Add([]byte(m), []byte(`{"config":null,"history":null,"created":null,"rootfs":{"diff_ids":["x"]},"a":1e400}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		m, err := ParseManifest(manifest)
		if err != nil {
			return
		}
		c, err := ParseConfig(m, config)
		if err != nil {
			return
		}
		madeConfig, madeManifest, err := Build(&Source{Digest: digestA, Manifest: *m, RawConfig: config, Config: *c},
			twoLayers, Made{Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		served, err := ParseManifest(madeManifest.Bytes)
		if err != nil && len(madeManifest.Bytes) <= MaxDocument {
			t.Fatalf("served manifest: %v\n%s", err, madeManifest.Bytes)
		}
		got, err := ParseConfig(served, madeConfig.Bytes)
		if err != nil {
			if len(madeConfig.Bytes) <= MaxDocument {
				t.Fatalf("served config: %v\n%s", err, madeConfig.Bytes)
			}
			return
		}
		if len(got.History) != 2 || !slices.Equal(got.RootFS.DiffIDs,
			[]digest.Digest{twoLayers[0].DiffID, twoLayers[1].DiffID}) {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff(c.Platform, got.Platform); diff != "" || Bootable(c) != Bootable(got) {
			t.Errorf("platform or labels changed: %s", diff)
		}
		for _, l := range []string{LabelCommit, labelFinalDiffID} {
			if _, ok := got.Config.Labels[l]; ok {
				t.Errorf("label %s is there", l)
			}
		}
	})
}
