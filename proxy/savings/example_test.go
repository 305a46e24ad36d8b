package savings_test

import (
	"context"
	"fmt"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/savings"
)

// Each repository has a record of what its pulls took by day; a report adds them up.
func ExampleSavings_Report() {
	ctx := context.Background()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		panic(err)
	}
	records := catalog.New(store, nil).Savings
	for name, sent := range map[string]int64{"ghcr.io/team/os": 20, "ghcr.io/team/tools": 5} {
		err := records.Put(ctx, name, &catalog.Savings{Days: []catalog.SavedDay{
			{Day: "2026-01-01", Sent: sent, Source: 90, Pulls: 1}, {Day: "2026-01-02", Sent: sent, Source: 60, Pulls: 1},
		}})
		if err != nil {
			panic(err)
		}
	}
	report, err := savings.New(savings.Options{Records: records, Now: time.Now}).Report(ctx, "")
	if err != nil {
		panic(err)
	}
	fmt.Println("sent", report.Sent, "of", report.Source)
	for _, d := range report.Days {
		fmt.Println(d.Day, d.Sent, d.Source, d.Pulls)
	}
	for _, r := range report.Repositories {
		fmt.Println(r.Name, r.Sent, r.Source)
	}
	// Output:
	// sent 50 of 300
	// 2026-01-01 25 180 2
	// 2026-01-02 25 120 2
	// ghcr.io/team/os 40 150
	// ghcr.io/team/tools 10 150
}
