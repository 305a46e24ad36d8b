package airgap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/airgap/gate"
	"github.com/strata-oci/strata/proxy/catalog"
)

// An image goes from a registry to a file, and from there into the store of a proxy that has no way out.
func Example() {
	if err := carry(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// registry.example/team/os:1 3 blobs
	// registry.example/team/os:1 is in the store
}

func carry(ctx context.Context) error {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	ref, err := ggcr.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/registry.example/team/os:1")
	if err != nil {
		return err
	}
	img, err := random.Image(100, 1)
	if err != nil {
		return err
	}
	if err := remote.Write(ref, img); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "airgap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "os.tar")
	out, err := airgap.Export(ctx, ref.String(), file, airgap.ExportOptions{})
	if err != nil {
		return err
	}
	fmt.Println(out.Entries[0].Name, out.Blobs, "blobs")

	driver, err := chunkstore.OpenDriver(ctx, "inmemory", nil)
	if err != nil {
		return err
	}
	chunks, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{})
	if err != nil {
		return err
	}
	o := airgap.ImportOptions{Chunks: chunks, Records: catalog.New(chunks, nil), TempDir: dir, Now: time.Now}
	// The proxy's rules: none asks for a signature here.
	g, err := gate.New(ctx, gate.Options{Chunks: chunks, Records: o.Records, Now: time.Now, Logger: slog.Default()})
	if err != nil {
		return err
	}
	o.Gate = g
	in, err := airgap.Import(ctx, file, o)
	if err = errors.Join(err, g.Close(ctx)); err != nil {
		return err
	}
	fmt.Println(in.Entries[0].Name, "is in the store")
	return nil
}
