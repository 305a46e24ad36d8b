package operate_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk"
)

// idle is a proxy without jobs, pulls and metrics.
type idle struct{}

// Counts implements operate.Queue.
func (idle) Counts() (out jobs.Counts) { return out }

// Reports implements operate.Queue.
func (idle) Reports() []jobs.Report { return nil }

// StoredBytes implements operate.Metrics.
func (idle) StoredBytes(metrics.StoreKind, int64) {}

// nobody pulled anything.
type nobody struct{}

// Counts implements history.Counts.
func (nobody) Counts(context.Context, digest.Digest) (out pulls.Counts, _ error) { return out, nil }

// manyRepositories is a view of a store in a directory with so many repositories, of eight versions and 64 layers each.
func manyRepositories(tb testing.TB, n int) *operate.View {
	tb.Helper()
	ctx, root := tb.Context(), tb.TempDir()
	driver, err := chunkstore.OpenDriver(ctx, "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		tb.Fatal(err)
	}
	store, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	records := catalog.New(store, nil)
	for i := range n {
		name := fmt.Sprintf("quay.io/fleet/os-%04d", i)
		var l rechunk.Lineage
		for v := range 8 {
			of := rechunk.Version{Created: time.Now(),
				Result: rechunk.Result{Digest: digest.FromString(fmt.Sprint(name, v)), Sequence: v + 1,
					Platform: "linux/amd64", NewBytes: 1e6, SourceNewBytes: 1e7}}
			for k := range 64 {
				of.Layers = append(of.Layers,
					rechunk.VersionLayer{Digest: digest.FromString(fmt.Sprint(name, k)), Size: 1e6})
			}
			l.Versions = append(l.Versions, of)
		}
		d := l.Versions[0].Digest
		tag := catalog.Tag{SourceDigest: d, Digest: d, MediaType: "x", Served: catalog.Rechunked}
		for _, err := range []error{
			records.Repositories.Put(ctx, name, &catalog.Repository{}),
			records.Tags.Put(ctx, catalog.TagKey{Repository: name, Tag: "stable"}, &tag),
			records.Lineages.Put(ctx, catalog.LineageKey{Lineage: name, Platform: "linux/amd64"}, &l),
		} {
			if err != nil {
				tb.Fatal(err)
			}
		}
	}
	// What was written just now is read again each time.
	old := time.Now().Add(-time.Hour)
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		tb.Fatal(err)
	}
	return operate.NewView(operate.Options{Pulled: records.Tags, Known: records.Repositories, Plans: records.Plans,
		History: history.New(records.Lineages, nobody{}), Queue: idle{}, Metrics: idle{},
		Rule:      func(repository string) config.Rule { return config.Rule{Family: repository} },
		Upstreams: func() []upstream.HostStatus { return nil }, Manifests: manifests{},
		Store: operate.Store{Used: func() int64 { return 0 }}, Now: time.Now})
}

// Totals, lists and versions are found without the store being walked.
func TestManyRepositories(t *testing.T) {
	t.Parallel()
	v := manyRepositories(t, 20)
	for range 2 {
		s, err := v.Status(t.Context())
		if err != nil || s.Repositories != 20 || s.Versions != 160 || s.UpdateBytes != 20*7e6 ||
			s.UpdateBytesSaved != 20*7*9e6 ||
			s.Store.ServedBytes != 20*64*1e6 {
			t.Fatalf("%+v %v", s, err)
		}
		all, err := v.Repositories(t.Context())
		if err != nil || len(all) != 20 || all[7].Versions != 8 || len(all[7].Tags) != 1 {
			t.Fatalf("%+v %v", all, err)
		}
	}
	d := digest.FromString(fmt.Sprint("quay.io/fleet/os-0007", 3)).String()
	got, err := v.Image(t.Context(), d)
	if err != nil || got.Digest != d || got.Family != "quay.io/fleet/os-0007" || len(got.Layers) != 64 || got.Before == "" ||
		got.After == "" {
		t.Errorf("%+v %v", got, err)
	}
}

// BenchmarkView is what the overview and the list of repositories ask for, of 1,000 repositories with 8,000 versions.
func BenchmarkView(b *testing.B) {
	v := manyRepositories(b, 1000)
	began := time.Now()
	if _, err := v.Repositories(b.Context()); err != nil {
		b.Fatal(err)
	}
	first := time.Since(began)
	for b.Loop() {
		if _, err := v.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, err := v.Repositories(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Milliseconds()), "ms-first")
}
