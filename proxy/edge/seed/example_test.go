package seed_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/rechunk/delta"
)

// A host's own files, as a delta names them.
func ExampleRoot() {
	dir, err := os.MkdirTemp("", "host-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_ = os.MkdirAll(filepath.Join(dir, "usr/etc"), 0o755)
	_ = os.WriteFile(filepath.Join(dir, "usr/etc/motd"), []byte("as the image has it"), 0o644)

	files, err := seed.NewRoot(dir).Files()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer files.Close()
	motd := delta.File{Path: "etc/motd", Size: 19, Digest: sha256.Sum256([]byte("as the image has it"))}
	c, err := files.Open(context.Background(), motd)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	b, _ := io.ReadAll(io.NewSectionReader(c, 3, 9))
	fmt.Printf("%s\n", b)

	motd.Digest = sha256.Sum256([]byte("as it was before..."))
	_, err = files.Open(context.Background(), motd)
	fmt.Println(err)
	// Output:
	// the image
	// the seed's file is not the one of the delta: etc/motd: the host has none, or another one
}
