package image_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/image"
)

// What hhd-dev/rechunk says of an image, with other layers.
func ExampleParseHHD() {
	h, err := image.ParseHHD(`{"version":2,"packages":{"bash":"5.2-1"},"layers":[["bash","glibc"],["kernel"]],` +
		`"revision":null}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Layers)
	fmt.Println(h.With([][]string{{"bash"}, {"glibc"}}))
	// Output:
	// [[bash glibc] [kernel]]
	// {"layers":[["bash"],["glibc"]],"packages":{"bash":"5.2-1"},"revision":null,"version":2} <nil>
}

func TestParseHHD(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]error{
		`{"version":1,"packages":{}}`: nil, `{"layers":[]}`: nil, `null`: nil, `{"layers":null}`: nil,
		`[]`: image.ErrInvalid, ``: image.ErrInvalid, `{"layers":[1]}`: image.ErrInvalid, `{"layers":{}}`: image.ErrInvalid,
		`{"layers":[["a"]],"Layers":[["b"]]}`: image.ErrInvalid,
	} {
		if h, err := image.ParseHHD(label); h != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", label, h, err)
		}
	}
}

func FuzzParseHHD(f *testing.F) {
	f.Add(`{"version":2,"layers":[["a","b"],["c"]]}`)
	f.Add(`{"layers":[[]]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, label string) {
		h, err := image.ParseHHD(label)
		if err != nil || h == nil {
			return
		}
		again, err := h.With(h.Layers)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := image.ParseHHD(again); err != nil || len(second.Layers) != len(h.Layers) {
			t.Errorf("%q becomes %q: %v", label, again, err)
		}
	})
}
