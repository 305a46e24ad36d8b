package catalog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// memory opens a store in memory.
func memory(ctx context.Context) *chunkstore.Store {
	driver, err := chunkstore.OpenDriver(ctx, "inmemory", nil)
	if err != nil {
		panic(err)
	}
	store, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		panic(err)
	}
	return store
}

// A record is written and read by the table of its kind. What is not there, or damaged, is nil.
func ExampleTable() {
	ctx := context.Background()
	records := catalog.New(memory(ctx), nil)
	key := catalog.TagKey{Repository: "ghcr.io/ublue-os/bluefin", Tag: "stable"}
	image := digest.FromString("a manifest")
	err := records.Tags.Put(ctx, key, &catalog.Tag{SourceDigest: image, Digest: image, MediaType: "x",
		Served: catalog.Original})
	if err != nil {
		fmt.Println(err)
	}
	tag, err := records.Tags.Get(ctx, key)
	fmt.Println(tag.Served, err)
	tag, err = records.Tags.Get(ctx, catalog.TagKey{Repository: "ghcr.io/ublue-os/bluefin", Tag: "gts"})
	fmt.Println(tag, err)
	// Output:
	// original <nil>
	// <nil> <nil>
}

// A listing looks at the records of one repository, however many others there are.
func ExampleTable_List() {
	ctx := context.Background()
	records := catalog.New(memory(ctx), nil)
	image := digest.FromString("a manifest")
	for _, repository := range []string{"ghcr.io/ublue-os/aurora", "ghcr.io/ublue-os/bluefin"} {
		for _, tag := range []string{"gts", "stable"} {
			key := catalog.TagKey{Repository: repository, Tag: tag}
			err := records.Tags.Put(ctx, key,
				&catalog.Tag{SourceDigest: image, Digest: image, MediaType: "x", Served: catalog.Original})
			if err != nil {
				fmt.Println(err)
			}
		}
	}
	err := records.Tags.List(ctx, catalog.TagsOf("ghcr.io/ublue-os/bluefin"), func(key catalog.TagKey, _ time.Time) error {
		fmt.Println(key)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// ghcr.io/ublue-os/bluefin:gts
	// ghcr.io/ublue-os/bluefin:stable
}

// Whoever wants to know what records mean, whatever their kind, goes through the kinds.
func ExampleScan() {
	ctx := context.Background()
	store := memory(ctx)
	records := catalog.New(store, nil)
	image := digest.FromString("a manifest")
	err := records.Manifests.Put(ctx, image, &catalog.Manifest{MediaType: "x", Source: image, Served: catalog.Original})
	if err != nil {
		fmt.Println(err)
	}
	for _, kind := range catalog.Kinds() {
		err := catalog.Scan(ctx, store, kind, func(r catalog.Record) error {
			fmt.Println("a", kind.Name, "belongs to its image:", r.Leads.Owner.Manifest == image, "and leads to",
				len(r.Leads.To))
			return r.Err
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// a manifest belongs to its image: true and leads to 1
}

// A store with records of a kind that is not listed was written by a newer build: nothing is collected there.
func ExampleCheckKinds() {
	ctx := context.Background()
	store := memory(ctx)
	if err := store.PutRecord(ctx, "prophecy", "ghcr.io/ublue-os/bluefin", []byte("{}")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(catalog.CheckKinds(ctx, store))
	// Output:
	// unknown kind of record: the store has records of kind "prophecy", which a newer version of strata wrote; use that one
}

// Documents that belong together lie in one pack, and count only if they are what they should be.
func ExamplePacked_In() {
	pack := []byte("one" + "another")
	b, err := catalog.Packed{Digest: digest.FromString("another"), Offset: 3, Size: 7}.In(pack)
	fmt.Println(string(b), err)
	_, err = catalog.Packed{Digest: digest.FromString("another"), Offset: 4, Size: 7}.In(pack)
	fmt.Println(catalog.Damaged(err))
	// Output:
	// another <nil>
	// true
}

func FuzzPacked(f *testing.F) {
	f.Add([]byte("one"), int64(0), int64(3))
	f.Add([]byte("one"), int64(1), int64(1)<<62)
	f.Add([]byte("one"), int64(-1), int64(2))
	f.Fuzz(func(t *testing.T, pack []byte, offset, size int64) {
		p := catalog.Packed{Digest: digest.FromString("one"), Offset: offset, Size: size}
		if b, err := p.In(pack); err == nil && string(b) != "one" {
			t.Errorf("%q at %d, %d", b, offset, size)
		}
	})
}
