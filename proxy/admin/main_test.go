package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// base is an address that the listener is asked for by.
const base = "http://127.0.0.1:5001"

// fakeStatus tells about two repositories.
type fakeStatus struct{ err error }

var someTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func (f fakeStatus) Status(context.Context) (operate.StatusReport, error) {
	return operate.StatusReport{
		Version: "1.2.3", StartedAt: someTime, UptimeSeconds: 93784, Repositories: 2, Versions: 3,
		Store: operate.StoreReport{Driver: "filesystem", Location: "/var/lib/strata/data", SourceBytes: 5e9,
			ServedBytes: 7e9, TotalBytes: 12e9},
		Jobs:        jobs.Counts{Running: 1, Done: 41, Failed: 1},
		UpdateBytes: 1e9, UpdateBytesSaved: 9e9,
	}, f.err
}

func (f fakeStatus) Repositories(context.Context) ([]operate.RepositoryReport, error) {
	return []operate.RepositoryReport{bluefin().RepositoryReport, {Name: "quay.io/fedora/fedora-bootc"}}, f.err
}

func (f fakeStatus) Repository(_ context.Context, name string) (*operate.RepositoryDetail, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case name == bluefin().Name:
		return bluefin(), nil
	case name == "localhost:5000/with space":
		return &operate.RepositoryDetail{RepositoryReport: operate.RepositoryReport{Name: name}}, nil
	}
	return nil, operate.ErrNotFound
}

func (f fakeStatus) Image(_ context.Context, d string) (*operate.VersionDetail, error) {
	for _, v := range bluefin().History {
		if f.err == nil && v.Digest == d {
			return &operate.VersionDetail{VersionReport: v, Family: bluefin().Name, Layers: bluefin().Layers}, nil
		}
	}
	return nil, operate.ErrNotFound
}

func (fakeStatus) Jobs(context.Context) []operate.JobReport {
	return []operate.JobReport{{
		ID: "7", Repository: "ghcr.io/ublue-os/bluefin", Reference: "stable", Platform: "linux/amd64",
		SourceDigest: digest("5"),
		State:        jobs.Running, Phase: "writing layers", DoneBytes: 4e8, TotalBytes: 1e9, StartedAt: someTime,
		Seconds: 12.5,
	}}
}

func (fakeStatus) Deltas(context.Context) operate.DeltaReport {
	var r operate.DeltaReport
	r.Formats = "1"
	r.Totals = operate.DeltaTotals{
		Stored: 1, Bytes: 1e6, KeepBytes: 5e9, LayerBytes: 4e7, Refused: map[string]int{"gain": 1}, Running: 1,
	}
	const repository = "ghcr.io/ublue-os/bluefin"
	r.Deltas = []operate.DeltaPair{
		{State: "stored", Repository: repository, Seed: digest("a"), Layer: digest("b"), LayerBytes: 4e7, Bytes: 1e6,
			Ratio: .025, Needs: []string{"xz/5.8.1"}, At: someTime, Seconds: 12},
		{State: "refused", Repository: repository, Seed: digest("a"), Layer: digest("c"), LayerBytes: 4e7, At: someTime,
			Refused: "gain", Message: "the delta is not smaller than nine tenths of the blob", Until: someTime},
	}
	r.Came = []operate.DeltaPair{{
		State: "whole", Repository: repository, Layer: digest("d"), LayerBytes: 3e7, At: someTime,
		Refused: "link", Message: "the central went away",
	}}
	return r
}

func digest(c string) string {
	d := "sha256:"
	for len(d) < len("sha256:")+64 {
		d += c
	}
	return d
}

func bluefin() *operate.RepositoryDetail {
	return &operate.RepositoryDetail{
		RepositoryReport: operate.RepositoryReport{
			Name: "ghcr.io/ublue-os/bluefin", Versions: 2, UpdatedAt: someTime, UpdateBytes: 4e8, UpdateBytesSaved: 6e9,
			Tags: []operate.TagReport{{
				Tag: "stable", SourceDigest: digest("1"), Digest: digest("a"), Served: "rechunked", CheckedAt: someTime,
				UpdatedAt: someTime,
			}},
		},
		History: []operate.VersionReport{
			{
				SourceDigest: digest("1"), Digest: digest("a"), Platform: "linux/amd64", Created: someTime, LayersTotal: 3,
				LayersKept: 2,
				LayersNew:  1, NewBytes: 2e8, TotalBytes: 3e9, StaleBytes: 1e8, Seconds: 61,
			},
			{
				SourceDigest: digest("2"), Digest: digest("b"), Platform: "linux/amd64", Created: someTime, LayersTotal: 2,
				LayersNew: 2,
				NewBytes:  28e8, TotalBytes: 28e8, Seconds: 130,
			},
		},
		Layers: []operate.LayerReport{
			{Digest: digest("c"), Size: 20e8, Name: "cold", Age: 1, Kept: true},
			{Digest: digest("d"), Size: 8e8, Name: "<b>glibc</b>", Age: 1, Kept: true},
			{Digest: digest("e"), Size: 2e8, Name: "kernel"},
		},
	}
}

// fakeWarmer tells its progress twice. It fails for "bad" and waits for its context for "slow".
type fakeWarmer struct{}

func (fakeWarmer) Warm(ctx context.Context, ref string, progress func(operate.WarmEvent)) error {
	progress(operate.WarmEvent{Platform: "linux/amd64", Phase: "fetching", DoneBytes: 1, TotalBytes: 2})
	switch ref {
	case "bad":
		return errors.New("no such tag")
	case "slow":
		<-ctx.Done()
		return ctx.Err()
	}
	progress(operate.WarmEvent{Platform: "linux/amd64", Phase: "writing layers", DoneBytes: 2, TotalBytes: 2})
	return nil
}

// serve runs a handler until the test ends.
func serve(t *testing.T, o Options) (*Handler, *httptest.Server) {
	t.Helper()
	if o.Status == nil {
		o.Status = fakeStatus{}
	}
	h := New(o)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		s.Client().CloseIdleConnections()
		h.Close()
	})
	return h, s
}
