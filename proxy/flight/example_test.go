package flight_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/verify"
)

// memory is a Sink for one blob.
type memory struct{ bytes.Buffer }

func (m *memory) Create(context.Context, digest.Digest) (flight.Writer, error) { return m, nil }
func (m *memory) Open() (*os.File, error)                                      { return nil, nil } // no file
func (m *memory) Commit(context.Context) error                                 { return nil }
func (m *memory) Cancel(context.Context) error                                 { m.Reset(); return nil }

func ExampleGroup() {
	ctx := context.Background()
	stored := &memory{}
	downloads := flight.New(flight.Options{Sink: stored})

	const layer = "the bytes of a layer"
	key := flight.Key{Scope: "ghcr.io/ublue-os/bluefin", Digest: digest.FromString(layer)}
	fetch := func(context.Context) (io.ReadCloser, int64, error) {
		fmt.Println("fetched")
		return verify.NewReader(strings.NewReader(layer), key.Digest, int64(len(layer))), int64(len(layer)), nil
	}

	r, err := downloads.Open(ctx, key, fetch)
	if err != nil {
		fmt.Println(err)
		return
	}
	late, err := downloads.Open(ctx, key, fetch) // joins the first
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = late.Seek(-5, io.SeekEnd)
	all, _ := io.ReadAll(r)
	end, _ := io.ReadAll(late)
	fmt.Printf("%s; %s\n", all, end)

	fmt.Println(downloads.Wait(ctx, key, fetch), stored.String() == layer)
	_, _ = r.Close(), late.Close()
	fmt.Println(downloads.Close(ctx))
	// Output:
	// fetched
	// the bytes of a layer; layer
	// <nil> true
	// <nil>
}
