package scan_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/scan"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// panicking is a parser with a mistake.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("mistake") }

// A panic is an error of the layer, whichever goroutine it is in.
func TestLayerPanics(t *testing.T) {
	t.Parallel()
	raw := Tar(t, Dir("db"), File("db/a", strings.Repeat("x", 3<<20)))
	var decoder scan.Decoder
	defer decoder.Close()
	for name, opts := range map[string]scan.Options{"ahead": {}, "decoder": {Decoder: &decoder}} {
		for how, blob := range map[string][]byte{"tar": raw, "gzip": Gzip(t, raw), "zstd": Zstd(t, raw)} {
			r := io.MultiReader(bytes.NewReader(blob[:len(blob)/2]), panicking{})
			var panicked *rescue.PanicError
			if _, err := scan.Layer(t.Context(), r, opts); !errors.As(err, &panicked) || panicked.Value != "mistake" {
				t.Errorf("%s of %s: %v", name, how, err)
			}
			opts := opts
			opts.Inline = func(string) bool { panic("mistake") }
			if _, err := scan.Layer(t.Context(), bytes.NewReader(blob), opts); !errors.As(err, &panicked) {
				t.Errorf("%s of %s, in the scanner: %v", name, how, err)
			}
			if _, err := scan.Layer(t.Context(), bytes.NewReader(blob), scan.Options{Decoder: opts.Decoder}); err != nil {
				t.Errorf("%s of %s, then: %v", name, how, err)
			}
		}
	}
}
