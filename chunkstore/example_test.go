package chunkstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

func Example() {
	ctx := context.Background()
	driver, err := chunkstore.OpenDriver(ctx, "inmemory", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	// A layer is streamed, and is visible when it has proven to be what its descriptor says.
	w, err := store.Create(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Cancel(ctx)
	if _, err := io.Copy(w, strings.NewReader("a layer")); err != nil {
		fmt.Println(err)
		return
	}
	want := chunkstore.Expected{Digest: digest.FromString("another layer"), Size: chunkstore.AnySize}
	_, err = w.Commit(ctx, want)
	fmt.Println("refused:", errors.Is(err, chunkstore.ErrVerify))

	// A record names content, and moves to other content as a whole.
	d, err := store.Put(ctx, []byte(`{"schemaVersion":2}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.PutRecord(ctx, "tag", "ghcr.io/ublue-os/bluefin:stable", []byte(d)); err != nil {
		fmt.Println(err)
		return
	}
	err = store.WalkRecords(ctx, "tag", func(key string, _ time.Time) error {
		fmt.Println(key)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}

	// Output:
	// refused: true
	// ghcr.io/ublue-os/bluefin:stable
}
