package fleet_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/fleet"
)

// Hosts are told apart by what the settings say, and stand for what they got last.
func Example() {
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		panic(err)
	}
	records := catalog.New(store, nil)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := fleet.New(fleet.Options{
		Hosts: records.Fleet, Tags: records.FleetTags, Now: func() time.Time { return now },
		Settings: func() config.Fleet {
			return config.Fleet{Identify: config.IdentifyAddress, Retention: config.Duration(30 * 24 * time.Hour)}
		},
		Label: func(_ context.Context, _ string, d digest.Digest) string {
			return map[digest.Digest]string{digest.FromString("old"): "41.1", digest.FromString("new"): "41.2"}[d]
		},
	})
	if err := f.Load(context.Background()); err != nil {
		panic(err)
	}
	pull := func(host byte, image string) {
		f.Saw(fleet.Sighting{Repository: "ghcr.io/team/os", Tag: "stable", Digest: digest.FromString(image), Got: true,
			Address: netip.AddrFrom4([4]byte{10, 0, 0, host}), Agent: "bootc/1.1.4"})
	}
	for host := range byte(3) {
		pull(host, "old")
	}
	now = now.Add(24 * time.Hour)
	pull(1, "new")

	report, err := f.Report("ghcr.io/team/os:stable")
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Hosts, "hosts,", report.Tags[0].Behind, "behind")
	for _, v := range report.Tags[0].Versions {
		fmt.Println(v.Lag, v.Hosts)
	}
	one, err := f.Host("10.0.0.1", "")
	if err != nil {
		panic(err)
	}
	fmt.Println("10.0.0.1 is", one.Tags[0].List[0].Lag, "behind")
	// Output:
	// 3 hosts, 2 behind
	// 0 1
	// 1 2
	// 10.0.0.1 is 0 behind
}
