package demo

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	pictures     = flag.String("pictures", "", "write a picture of the versions' layers into this directory")
	pictureScale = flag.Float64("scale", testScale, "size of the images in the picture, as strata demo has it")
)

// keptManifest reads the manifest of an image that a demo kept, by its tag.
func keptManifest(t *testing.T, layout, tag string) (m ocispec.Manifest) {
	t.Helper()
	read := func(path string, into any) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(layout, path))
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var index ocispec.Index
	read("index.json", &index)
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			read(filepath.Join("blobs", "sha256", d.Digest.Encoded()), &m)
			return m
		}
	}
	t.Fatalf("%s has no %s", layout, tag)
	return m
}

// Measures of the picture, in pixels.
const (
	pictureWidth, pictureRow = 920.0, 92.0
	pictureHead              = 34.0
)

const pictureStyle = `text{font:14px system-ui,sans-serif;fill:#1c2430}.quiet{fill:#566070}.ground{fill:#fff}` +
	`rect{stroke:#fff;stroke-width:.6}.kept{fill:#9db4d0}.new{fill:#c2571a}.source{fill:#b9bec6}` +
	`@media(prefers-color-scheme:dark){text{fill:#e4e8ee}.quiet{fill:#a0abba}.ground{fill:#14171c}rect{stroke:#14171c}` +
	`.kept{fill:#46607f}.new{fill:#e88c4d}.source{fill:#4a515c}}`

// picture draws versions one below the other, lowest layer at the left: those that hosts have already, and those that they
// download; below each, what the same version of the source takes.
func picture(versions []Version, layers [][]ocispec.Descriptor) string {
	most := 0.0
	for i, v := range versions {
		sum := 0.0
		for _, l := range layers[i] {
			sum += float64(l.Size)
		}
		most = max(most, sum, float64(v.DirectBytes))
	}
	var out strings.Builder
	height := pictureHead + pictureRow*float64(len(versions))
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img">`, pictureWidth, height)
	fmt.Fprintf(&out, "<title>The layers of %d versions</title><style>%s</style>", len(versions), pictureStyle)
	fmt.Fprintf(&out, `<rect class="ground" width="%.0f" height="%.0f"/>`, pictureWidth, height)
	for i, key := range []struct{ class, text string }{{"new", "downloaded"}, {"kept", "kept: hosts have it"},
		{"source", "the source: downloaded whole"}} {
		x := 10 + 190*i
		fmt.Fprintf(&out, `<rect class="%s" x="%d" y="10" width="14" height="14"/><text x="%d" y="22">%s</text>`, key.class,
			x,
			x+20, key.text)
	}
	had := map[string]bool{}
	for i, v := range versions {
		y := pictureHead + pictureRow*float64(i)
		fmt.Fprintf(&out, `<text x="10" y="%.0f">Version %s, %s: %s <tspan class="quiet">in place of %s; %d layers kept, %d new</tspan></text>`,
			y+24, v.Version, v.Change, humanize.Bytes(uint64(v.StrataBytes)), humanize.Bytes(uint64(v.DirectBytes)),
			v.LayersKept, v.LayersNew)
		x, each := 10.0, (pictureWidth-20)/most
		for _, l := range layers[i] {
			class := "new"
			if had[l.Digest.String()] {
				class = "kept"
			}
			width := each * float64(l.Size)
			fmt.Fprintf(&out, `<rect class="%s" x="%.2f" y="%.0f" width="%.2f" height="34"/>`, class, x, y+34, width)
			x += width
		}
		for _, l := range layers[i] {
			had[l.Digest.String()] = true
		}
		fmt.Fprintf(&out, `<rect class="source" x="10" y="%.0f" width="%.2f" height="8"/>`, y+72,
			each*float64(v.DirectBytes))
	}
	return out.String() + "</svg>\n"
}

// The picture in the README is drawn of images that the demo made, by
//
//	go test ./proxy/demo -run TestPicture -scale 0.42 -pictures docs
//
// What the demo says was kept is what the images have in common.
func TestPicture(t *testing.T) {
	emptyTemp(t)
	keep := filepath.Join(t.TempDir(), "images")
	r, err := Run(t.Context(), Options{Keep: keep, Scale: *pictureScale})
	if err != nil {
		t.Fatal(err)
	}
	const shown = 3
	var layers [][]ocispec.Descriptor
	for _, v := range r.Versions[:shown] {
		layers = append(layers, keptManifest(t, filepath.Join(keep, "strata"), v.Version).Layers)
	}
	svg := picture(r.Versions[:shown], layers)
	kept, fresh := 0, 0
	for _, v := range r.Versions[:shown] {
		kept, fresh = kept+v.LayersKept, fresh+v.LayersNew
	}
	if got := strings.Count(svg, `<rect class="kept"`) - 1; got != kept {
		t.Errorf("the picture shows %d kept layers, the demo said %d", got, kept)
	}
	if got := strings.Count(svg, `<rect class="new"`) - 1; got != fresh {
		t.Errorf("the picture shows %d new layers, the demo said %d", got, fresh)
	}
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, "layers.svg"), []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
