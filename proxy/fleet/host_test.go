package fleet_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/fleet"
)

// A host is found by what it is told apart by, and listed by the same hash as in the report of its tag.
func TestHost(t *testing.T) {
	t.Parallel()
	for by, c := range map[config.Identify]struct{ named, other, wrong string }{
		config.IdentifyAddress:     {"2001:db8::7", "10.0.0.2", "kim"},
		config.IdentifyUser:        {"kim", "10.0.0.1", ""},
		config.IdentifyCertificate: {"host7", "kim", ""},
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			records := catalog.New(store, nil)
			f := fleet.New(fleet.Options{Hosts: records.Fleet, Tags: records.FleetTags,
				Settings: func() config.Fleet {
					return config.Fleet{Identify: by, Retention: config.Duration(24 * time.Hour)}
				},
				Label: func(context.Context, string, digest.Digest) string { return "" }})
			if _, err := f.Host(c.named, ""); !errors.Is(err, fleet.ErrUnknownHost) {
				t.Errorf("before anything is read: %v", err)
			}
			if err := f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, tag := range []string{"stable", "testing"} {
				f.Saw(fleet.Sighting{Repository: "a.io/os", Tag: tag, Digest: digest.FromString(tag), Got: true, User: "kim",
					Certificate: "host7", Address: netip.MustParseAddr("2001:db8::1")}) // the same network
			}
			all, err := f.Report("a.io/os:stable")
			if err != nil {
				t.Fatal(err)
			}
			one, err := f.Host(c.named, "")
			if err != nil || len(one.Tags) != 2 || one.Hosts != 1 || one.Tags[0].List[0] != all.Tags[0].List[0] {
				t.Fatalf("%+v, %v", one, err)
			}
			if one, err = f.Host(c.named, "a.io/os:testing"); err != nil || len(one.Tags) != 1 {
				t.Errorf("of one tag: %+v, %v", one, err)
			}
			if _, err := f.Host(c.named, "a.io/os:none"); !errors.Is(err, fleet.ErrUnknownHost) {
				t.Errorf("of a tag that it has nothing of: %v", err)
			}
			if _, err := f.Host(c.other, ""); !errors.Is(err, fleet.ErrUnknownHost) {
				t.Errorf("another one: %v", err)
			}
			if _, err := f.Host(c.wrong, ""); !errors.Is(err, fleet.ErrNoHost) {
				t.Errorf("%q: %v", c.wrong, err)
			}
		})
	}
	if _, err := (*fleet.Fleet)(nil).Host("x", ""); !errors.Is(err, fleet.ErrOff) {
		t.Errorf("where none are counted: %v", err)
	}
}
