package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/rechunk"
)

// aFleet is how much the operators of a large fleet look at.
type aFleet struct{ repositories, versions, layers, hosts int }

func (f aFleet) repository(i int) string { return fmt.Sprintf("quay.io/fleet/os-%04d", i) }

// manifest is as much of one as is read for what pages show.
func (f aFleet) manifest(i, version int) string {
	return fmt.Sprintf(`{"annotations":{"org.opencontainers.image.version":"41.%d","of":%q}}`, version, f.repository(i))
}

func (f aFleet) image(i, version int) digest.Digest { return digest.FromString(f.manifest(i, version)) }

// write makes a store of it in a directory, as a proxy leaves it that has run for long.
func (f aFleet) write(tb testing.TB, root string) {
	tb.Helper()
	driver, err := chunkstore.OpenDriver(tb.Context(), "filesystem", map[string]any{"rootdirectory": root})
	if err != nil {
		tb.Fatal(err)
	}
	store, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	records := catalog.New(store, nil)
	for i := range f.repositories {
		f.writeRepository(tb, records, i)
		for v := range f.versions {
			if _, err := store.Put(tb.Context(), []byte(f.manifest(i, v+1))); err != nil {
				tb.Fatal(err)
			}
		}
	}
	f.writeHosts(tb, records)
	old := time.Now().Add(-time.Hour)
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func (f aFleet) writeRepository(tb testing.TB, records *catalog.Records, i int) {
	tb.Helper()
	ctx, name := tb.Context(), f.repository(i)
	key := catalog.TagKey{Repository: name, Tag: "stable"}
	var l rechunk.Lineage
	var of catalog.FleetTag
	for v := f.versions; v > 0; v-- {
		made := rechunk.Version{Created: time.Now().Add(-time.Duration(f.versions-v) * 24 * time.Hour),
			Reference: key.String(),
			Result: rechunk.Result{SourceDigest: f.image(i, -v), Digest: f.image(i, v), Sequence: v, Platform: "linux/amd64",
				NewBytes:       1e6,
				SourceNewBytes: 1e7}}
		for k := range f.layers {
			made.Layers = append(made.Layers, rechunk.VersionLayer{Digest: digest.FromString(fmt.Sprint(name, k)), Size: 1e6,
				Name: fmt.Sprint("part ", k)})
		}
		l.Versions = append(l.Versions, made)
		of.Versions = append([]catalog.FleetVersion{{Digest: made.Digest, Version: fmt.Sprint("41.", v),
			Since: made.Created}},
			of.Versions...)
	}
	served := func(v int, share float64) catalog.RolledVersion {
		return catalog.RolledVersion{SourceDigest: f.image(i, -v), Digest: f.image(i, v), MediaType: "x",
			Served: catalog.Rechunked, MadeAt: time.Now(), BegunAt: time.Now(), Share: share}
	}
	tag := &catalog.Tag{SourceDigest: f.image(i, -f.versions), Digest: f.image(i, f.versions), MediaType: "x",
		Served: catalog.Rechunked, CheckedAt: time.Now(), UpdatedAt: time.Now(), Staged: true}
	for _, err := range []error{
		records.Repositories.Put(ctx, name, &catalog.Repository{Since: time.Now()}),
		records.Tags.Put(ctx, key, tag),
		records.Rollouts.Put(ctx, key, &catalog.Rollout{Versions: []catalog.RolledVersion{served(f.versions-1, 1),
			served(f.versions, 0.05)}}),
		records.Lineages.Put(ctx, catalog.LineageKey{Lineage: name, Platform: "linux/amd64"}, &l),
		records.Savings.Put(ctx, name, &catalog.Savings{Days: []catalog.SavedDay{{Day: "2026-01-02", Sent: 1, Source: 9,
			Pulls: 1}}}),
		records.FleetTags.Put(ctx, key, &of),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func (f aFleet) writeHosts(tb testing.TB, records *catalog.Records) {
	tb.Helper()
	parts := map[int]*catalog.Fleet{}
	for h := range f.hosts {
		part := h % 256
		if parts[part] == nil {
			parts[part] = &catalog.Fleet{}
		}
		i := h % f.repositories
		parts[part].Hosts = append(parts[part].Hosts,
			catalog.FleetHost{ID: uint64(part)<<56 | uint64(h), Client: "bootc/1.1.4",
				Pulls: []catalog.FleetPull{{Tag: f.repository(i) + ":stable", Digest: f.image(i, 1+h%f.versions),
					Since: time.Now().Unix(), At: time.Now().Unix()}}})
	}
	for part, rec := range parts {
		if err := records.Fleet.Put(tb.Context(), fmt.Sprintf("%02x", part), rec); err != nil {
			tb.Fatal(err)
		}
	}
}

// looks are what operators ask of it, but for what two images differ in, which reads them.
func (f aFleet) looks() []string {
	newest := f.image(3, f.versions).String()
	return []string{
		"/", "/repositories", "/repositories?q=os-0003", "/repositories/" + f.repository(3),
		"/repositories/" + f.repository(3) + ":stable", "/versions/" + newest, "/jobs", "/fleet", "/deltas", "/setup",
		"/api/v1/status", "/api/v1/repositories", "/api/v1/repositories/" + f.repository(3), "/api/v1/jobs",
		"/api/v1/deltas",
		"/api/v1/fleet",
		"/api/v1/fleet?reference=" + f.repository(3) + ":stable", "/api/v1/savings", "/api/v1/client-config", "/metrics",
		"/readyz",
	}
}

// counted is a driver of files that counts what is asked of it: a call, or an object that a walk found.
type counted struct{ storagedriver.StorageDriver }

// asked are the calls of all counted drivers, since one process opens one at a time.
var asked atomic.Int64

func (c counted) GetContent(ctx context.Context, path string) ([]byte, error) {
	asked.Add(1)
	return c.StorageDriver.GetContent(ctx, path)
}

func (c counted) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	asked.Add(1)
	return c.StorageDriver.Reader(ctx, path, offset)
}

func (c counted) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	asked.Add(1)
	return c.StorageDriver.Stat(ctx, path)
}

func (c counted) List(ctx context.Context, path string) ([]string, error) {
	found, err := c.StorageDriver.List(ctx, path)
	asked.Add(1 + int64(len(found)))
	return found, err
}

func (c counted) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	asked.Add(1)
	return c.StorageDriver.Walk(ctx, path, func(fi storagedriver.FileInfo) error {
		asked.Add(1)
		return fn(fi)
	}, options...)
}

// Create implements factory.StorageDriverFactory.
func (counted) Create(ctx context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	driver, err := factory.Create(ctx, "filesystem", parameters)
	return counted{driver}, err
}

// serve runs a proxy on what a fleet left in a directory until it knows all hosts, and returns what asks its operators'
// listener and says how often the store was asked for the answer.
func (f aFleet) serve(tb testing.TB, driver, root string) (ask func(path string) (body []byte, asks int64)) {
	tb.Helper()
	c := config.Default()
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Storage = config.Storage{Driver: driver, Parameters: map[string]any{"rootdirectory": root}}
	c.WorkDir = filepath.Join(tb.TempDir(), "work")
	c.Fleet.Identify = config.IdentifyAddress
	s, err := server.New(tb.Context(), server.Options{Config: c, Version: "v0-test"})
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, s)
	web := &http.Client{Transport: &http.Transport{}}
	tb.Cleanup(web.CloseIdleConnections)
	return func(path string) ([]byte, int64) {
		before := asked.Load()
		r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+s.AdminAddr().String()+path, nil)
		if err != nil {
			tb.Fatal(err)
		}
		answer, err := web.Do(r)
		if err != nil {
			tb.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			tb.Fatalf("%s: %s %.300s %v", path, answer.Status, body, err)
		}
		return body, asked.Load() - before
	}
}

// settle waits until all hosts are known.
func (f aFleet) settle(tb testing.TB, ask func(string) ([]byte, int64)) {
	tb.Helper()
	for {
		var report struct{ Hosts int }
		body, _ := ask("/api/v1/fleet")
		if err := json.Unmarshal(body, &report); err != nil {
			tb.Fatal(err)
		}
		if report.Hosts == f.hosts {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// No page and no answer of the API walks the store: what is asked of it does not grow with repositories and hosts.
func TestLooksAskLittle(t *testing.T) {
	factory.Register("counted", counted{})
	const most = 40
	var before []int64
	for _, f := range []aFleet{{10, 3, 5, 100}, {80, 3, 5, 800}} {
		root := filepath.Join(t.TempDir(), "data")
		f.write(t, root)
		ask := f.serve(t, "counted", root)
		f.settle(t, ask)
		var now []int64
		for i, path := range f.looks() {
			_, least := ask(path)
			// What the proxy does beside counts, too, but not each time.
			for range 4 {
				_, asks := ask(path)
				least = min(least, asks)
			}
			if now = append(now, least); least > most || before != nil && least > before[i] {
				t.Errorf("%s asks the store %d times; for a smaller fleet: %v", path, least, before)
			}
		}
		before = now
	}
}

// BenchmarkLooks is what each page and each answer of the API take for 10,000 hosts and 1,000 repositories, whose tags are
// all being rolled out, with 8,000 versions of 64 layers.
func BenchmarkLooks(b *testing.B) {
	f := aFleet{repositories: 1000, versions: 8, layers: 64, hosts: 10_000}
	root := filepath.Join(b.TempDir(), "data")
	f.write(b, root)
	for _, start := range []string{"first start", "again"} {
		b.Run(start, func(b *testing.B) {
			began := time.Now()
			ask := f.serve(b, "filesystem", root)
			ready := time.Since(began)
			ask("/")
			first := time.Since(began) - ready
			f.settle(b, ask)
			for _, path := range f.looks() {
				b.Run(strings.ReplaceAll(path, "/", "|"), func(b *testing.B) {
					for b.Loop() {
						ask(path)
					}
					if path == "/" {
						b.ReportMetric(float64(ready.Milliseconds()), "ms-to-start")
						b.ReportMetric(float64(first.Milliseconds()), "ms-first-page")
					}
				})
			}
			time.Sleep(3 * time.Second) // until all is written down
		})
	}
}
