package image_test

import (
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

// A platform without a variant stands for all of its variants, and default variants are left out.
func ExampleMatchPlatform() {
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	fmt.Println(image.PlatformString(arm))
	fmt.Println(image.MatchPlatform([]string{"linux/amd64", "linux/arm64"}, arm))
	// Output:
	// linux/arm64
	// true
}

// Only images that say so are bootable.
func ExampleBootable() {
	var c ocispec.Image
	fmt.Println(image.Bootable(&c))
	c.Config.Labels = map[string]string{"containers.bootc": "1"}
	fmt.Println(image.Bootable(&c))
	// Output:
	// false
	// true
}

// An index lists the images for some platforms.
func ExampleIndex_Images() {
	x, err := image.ParseIndex([]byte(`{"schemaVersion": 2, "manifests": [
		{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 10, "platform": {"os": "linux", "architecture": "amd64"},
		 "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(x.Images([]string{"linux/amd64"})), len(x.Images([]string{"linux/arm64"})))
	// Output: 1 0
}
