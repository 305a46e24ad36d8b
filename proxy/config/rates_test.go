package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{"0": 0, "10/s": 10, "300/m": 5, "3600 / h": 1, "0.5/s": 0.5} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s: %v, %v", text, r, err)
		}
		var again Rate
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%s is written %s, which reads as %v, %v", text, r, again, err)
		}
	}
	for _, text := range []string{"", "10", "-1/s", "10/d", "Inf/s", "NaN/s", "x/s", "/s"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a rate: %v", text, r)
		}
	}
}

func TestBandwidths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bandwidth{"0": 0, "50MB/s": 50_000_000, "1MiB/s": 1 << 20} {
		var b, again Bandwidth
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: %v, %v", text, b, err)
		}
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%s is written %s, which reads as %v, %v", text, b, again, err)
		}
	}
	for _, text := range []string{"", "50MB", "fast", "/s", "1MB/m"} {
		var b Bandwidth
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a bandwidth: %v", text, b)
		}
	}
}

func TestUpstreamLimits(t *testing.T) {
	t.Parallel()
	c, _, err := parse("c.yml", []byte(`upstreams:
  quay.io:
    redirect_hosts: [cdn.example.com, "*.example.net"]
    rate: 100/m
    bandwidth: 10MB/s
    max_connections: 8
    max_downloads: 4
`), []string{"STRATA_UPSTREAMS_QUAY_IO_MAX_DOWNLOADS=2", "STRATA_UPSTREAMS_QUAY_IO_REDIRECT_HOSTS=a.example, b.example"})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultUpstreamSettings()
	want.RedirectHosts, want.Rate, want.Bandwidth = HostList{"a.example", "b.example"}, Rate(100.0/60), 10_000_000
	want.MaxConnections, want.MaxDownloads = 8, 2
	if diff := cmp.Diff(want, c.Upstreams["quay.io"]); diff != "" {
		t.Error(diff)
	}
	_, _, err = parse("c.yml", []byte(`upstreams:
  quay.io: {redirect_hosts: ["https://cdn", "*"], max_connections: 2, max_downloads: 3, bandwidth: 1B/s}
  ghcr.io: {redirect_hosts: cdn.example, max_connections: 0}
`), nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"upstreams.quay.io.redirect_hosts[0]: ", "upstreams.quay.io.redirect_hosts[1]: ",
		"3 is more than max_connections, 2",
		"upstreams.quay.io.bandwidth: 1B/s is out of range", "upstreams.ghcr.io.redirect_hosts: needs a list",
		"upstreams.ghcr.io.max_connections: 0 is out of range",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not reported: %s\n%v", part, err)
		}
	}
}
