package imageref_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/strata-oci/strata/proxy/imageref"
)

func ExampleParse() {
	for _, s := range []string{"ghcr.io/ublue-os/bluefin", "oci:/srv/images:stable", "oci-archive:bluefin.tar", "./image"} {
		ref, err := imageref.Parse(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(ref)
	}
	// Output:
	// docker://ghcr.io/ublue-os/bluefin:latest
	// oci:/srv/images:stable
	// oci-archive:bluefin.tar
	// image reference "./image": looks like a path; write oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF
}

func ExampleRef_Open() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ref, err := imageref.Parse("oci:" + dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = ref.Open(context.Background(), imageref.Options{Platform: "linux/arm64"})
	fmt.Println(errors.Is(err, imageref.ErrNotFound)) // no layout is there
	// Output: true
}
