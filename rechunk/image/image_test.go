package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	ociType = "application/vnd.oci.image.manifest.v1+json"
)

// descriptor is the JSON of one.
func descriptor(mediaType, digest, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7%s}`, mediaType, digest, more)
}

// manifest is the JSON of one with the given layers.
func manifest(more string, layers ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q%s,"config":%s,"layers":[%s]}`, ociType, more,
		descriptor(ocispec.MediaTypeImageConfig, digestA, ""), strings.Join(layers, ","))
}

func layerOf(mediaType string) string { return descriptor(mediaType, digestB, "") }

func TestParseManifest(t *testing.T) {
	t.Parallel()
	tar := layerOf(ocispec.MediaTypeImageLayer)
	docker := `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":` +
		descriptor("application/vnd.docker.container.image.v1+json", digestA, "") + `,"layers":[` +
		layerOf("application/vnd.docker.image.rootfs.diff.tar.gzip") + `]}`
	cases := map[string]struct {
		doc  string
		want error
	}{
		"uncompressed":      {manifest("", tar), nil},
		"gzip":              {manifest("", layerOf(ocispec.MediaTypeImageLayerGzip)), nil},
		"zstd":              {manifest("", layerOf(ocispec.MediaTypeImageLayerZstd)), nil},
		"Docker":            {docker, nil},
		"Docker, zstd":      {manifest("", layerOf("application/vnd.docker.image.rootfs.diff.tar.zstd")), nil},
		"unknown field":     {manifest(`,"x":{"y":[null]}`, tar), nil},
		"data":              {manifest("", descriptor(ocispec.MediaTypeImageLayer, digestB, `,"data":"YWJj"`)), nil},
		"image with a type": {manifest(`,"artifactType":"x/y"`, tar), nil},
		"layer twice":       {manifest("", tar, tar), nil},
		"encrypted": {manifest("", layerOf("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")),
			ErrPassThrough},
		"nondistributable": {manifest("", layerOf("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")),
			ErrPassThrough},
		"Docker's foreign": {manifest("", layerOf("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
			ErrPassThrough},
		"with URLs": {manifest("", descriptor(ocispec.MediaTypeImageLayer, digestB, `,"urls":["https://a"]`)),
			ErrPassThrough},
		"layer without type":  {manifest("", layerOf("")), ErrPassThrough},
		"layer is a document": {manifest("", tar, layerOf("text/plain")), ErrPassThrough},
		"no layers":           {manifest(""), ErrPassThrough},
		"layers are null":     {strings.Replace(manifest(""), "[]", "null", 1), ErrPassThrough},
		"schema 1":            {`{"schemaVersion":1,"name":"x","fsLayers":[]}`, ErrPassThrough},
		"artifact": {`{"schemaVersion":2,"artifactType":"x/y","config":` +
			descriptor("application/vnd.oci.empty.v1+json", digestA, "") + `,"layers":[` + tar + `]}`, ErrPassThrough},
		"other config": {`{"schemaVersion":2,"config":` +
			descriptor("application/vnd.cncf.helm.config.v1+json", digestA, "") + `,"layers":[` +
			tar + `]}`, ErrPassThrough},
		"index":                {`{"schemaVersion":2,"manifests":[]}`, ErrPassThrough},
		"null":                 {`null`, ErrPassThrough},
		"nothing":              {``, ErrInvalid},
		"no object":            {`[]`, ErrInvalid},
		"text":                 {`"x"`, ErrInvalid},
		"cut":                  {manifest("", tar)[:50], ErrInvalid},
		"trailing":             {manifest("", tar) + "{}", ErrInvalid},
		"config of wrong type": {`{"schemaVersion":2,"config":[],"layers":[]}`, ErrInvalid},
		"named twice":          {manifest(`,"layers":[]`, tar), ErrInvalid},
		"named in two cases":   {manifest(`,"Config":null`, tar), ErrInvalid},
		"named in odd letters": {manifest(`,"layerſ":[]`, tar), ErrInvalid},
		"digest":               {manifest("", descriptor(ocispec.MediaTypeImageLayer, "sha256:../../x", "")), ErrInvalid},
		"digest is missing":    {manifest("", `{"mediaType":"`+ocispec.MediaTypeImageLayer+`","size":1}`), ErrInvalid},
		"unknown algorithm": {manifest("",
			descriptor(ocispec.MediaTypeImageLayer, "md5:d41d8cd98f00b204e9800998ecf8427e", "")), ErrInvalid},
		"negative size":      {strings.ReplaceAll(manifest("", tar), `"size":7`, `"size":-7`), ErrInvalid},
		"size is a fraction": {strings.ReplaceAll(manifest("", tar), `"size":7`, `"size":7.5`), ErrInvalid},
		"size is huge":       {strings.ReplaceAll(manifest("", tar), `"size":7`, `"size":1e30`), ErrInvalid},
		"many layers":        {manifest("", strings.Split(strings.Repeat(tar+"\n", MaxLayers)+tar, "\n")...), ErrInvalid},
		"deep":               {manifest(`,"x":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000), tar), ErrInvalid},
		"large":              {manifest(`,"x":"`+strings.Repeat("x", MaxDocument)+`"`, tar), ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := ParseManifest([]byte(c.doc))
			if !errors.Is(err, c.want) || c.want == nil && err != nil || (m == nil) != (err != nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	m := &ocispec.Manifest{Layers: make([]ocispec.Descriptor, 1)}
	const rootfs = `"rootfs":{"type":"layers","diff_ids":["` + digestA + `"]}`
	cases := map[string]struct {
		doc string
		ok  bool
	}{
		"least": {`{` + rootfs + `}`, true},
		"nulls": {`{"created":null,"config":null,"history":null,"os":null,"variant":null,` + rootfs + `}`,
			true},
		"null labels":          {`{"config":{"Labels":null,"Env":null},` + rootfs + `}`, true},
		"null label":           {`{"config":{"Labels":{"a":null}},` + rootfs + `}`, true},
		"unknown fields":       {`{"x":1,"config":{"y":{}},` + rootfs + `}`, true},
		"labels by case":       {`{"config":{"Labels":{"a":"1","A":"2"}},` + rootfs + `}`, true},
		"no rootfs":            {`{}`, false},
		"null":                 {`null`, false},
		"null diff_ids":        {`{"rootfs":{"diff_ids":null}}`, false},
		"diff_ids too many":    {`{"rootfs":{"diff_ids":["a","b"]}}`, false},
		"labels are a list":    {`{"config":{"Labels":[]},` + rootfs + `}`, false},
		"config is a list":     {`{"config":[],` + rootfs + `}`, false},
		"config named twice":   {`{"config":{},"Config":{},` + rootfs + `}`, false},
		"labels named twice":   {`{"config":{"Labels":{},"labels":{}},` + rootfs + `}`, false},
		"created is no time":   {`{"created":"yesterday",` + rootfs + `}`, false},
		"label is a number":    {`{"config":{"Labels":{"a":1}},` + rootfs + `}`, false},
		"something behind":     {`{` + rootfs + `} x`, false},
		"larger than a config": {`{"x":"` + strings.Repeat("x", MaxDocument) + `",` + rootfs + `}`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseConfig(m, []byte(c.doc))
			if (err == nil) != c.ok || (got == nil) != (err != nil) || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestBootable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label, value string
		want         bool
	}{
		{"containers.bootc", "1", true}, {"ostree.bootable", "true", true}, {"ostree.bootable", "1", true},
		{"containers.bootc", "yes", true},
		{"containers.bootc", "", false}, {"containers.bootc", "0", false}, {"ostree.bootable", "false", false},
		{"ostree.bootable", "False", false},
		{"Containers.Bootc", "1", false}, {"ostree.commit", "1", false},
	} {
		config := &ocispec.Image{Config: ocispec.ImageConfig{Labels: map[string]string{c.label: c.value, "x": "y"}}}
		if got := Bootable(config); got != c.want {
			t.Errorf("%s=%s: %t", c.label, c.value, got)
		}
	}
	if Bootable(&ocispec.Image{}) {
		t.Error("an image without labels is bootable")
	}
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	platform := func(os, arch, variant string) ocispec.Platform {
		return ocispec.Platform{OS: os, Architecture: arch, Variant: variant}
	}
	for _, c := range []struct {
		patterns string
		p        ocispec.Platform
		want     bool
	}{
		{"", platform("linux", "amd64", ""), true},
		{"", ocispec.Platform{}, true},
		{"linux/amd64", platform("linux", "amd64", ""), true},
		{"linux/amd64", platform("linux", "amd64", "v3"), true},
		{"linux/amd64/v2", platform("linux", "amd64", "v3"), false},
		{"linux/amd64/v2", platform("linux", "amd64", ""), false},
		{"linux/amd64/v1", platform("linux", "amd64", ""), true},
		{"linux/amd64,linux/arm64", platform("linux", "arm64", "v8"), true},
		{"linux/arm64/v8", platform("linux", "arm64", ""), true},
		{"linux/arm64/v8", platform("linux", "arm64", "v8"), true},
		{"linux/arm64/v8", platform("linux", "arm64", "v9"), false},
		{"linux/arm/v7", platform("linux", "arm", ""), true},
		{"linux/arm/v6", platform("linux", "arm", "v7"), false},
		{"linux/arm", platform("linux", "arm", "v6"), true},
		{"linux/amd64", platform("windows", "amd64", ""), false},
		{"linux/amd64", platform("linux", "s390x", ""), false},
		{"amd64", platform("linux", "amd64", ""), false},
		{"linux", platform("linux", "", ""), true},
	} {
		var patterns []string
		if c.patterns != "" {
			patterns = strings.Split(c.patterns, ",")
		}
		if got := MatchPlatform(patterns, c.p); got != c.want {
			t.Errorf("%q names %s: %t", c.patterns, PlatformString(c.p), got)
		}
	}
	for want, p := range map[string]ocispec.Platform{
		"linux/amd64": platform("linux", "amd64", ""), "linux/amd64/v3": platform("linux", "amd64", "v3"),
		"linux/arm64": platform("linux", "arm64", "v8"), "linux/arm": platform("linux", "arm", "v7"),
		"linux/arm/v6": platform("linux", "arm", "v6"),
		"":             {},
	} {
		if got := PlatformString(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
