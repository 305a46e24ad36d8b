package config

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	file := "upstreams:\n  my-registry.example:5000: {username: me, password: old}\nrepositories:\n- match: quay.io/fedora/*\n"
	c, warnings, err := parse("c.yml", []byte(file), []string{
		"STRATA_LISTEN=0.0.0.0:80", "STRATA_ADMIN_LISTEN=127.0.0.1:81", "STRATA_JOBS=4", "STRATA_CACHE_BYTES=1MiB",
		"STRATA_LOG_LEVEL=warn", "STRATA_LOG_FORMAT=json", "STRATA_SHUTDOWN_TIMEOUT=5s", "STRATA_WORK_DIR=/w",
		"STRATA_TLS_CERT_FILE=c", "STRATA_TLS_KEY_FILE=k", "STRATA_DEFAULT_UPSTREAM=docker.io",
		"STRATA_STORAGE_FILESYSTEM_ROOTDIRECTORY=/var/lib/strata/data",
		"STRATA_UPSTREAMS_MY_REGISTRY_EXAMPLE_5000_PASSWORD=# new: 1", "STRATA_UPSTREAMS_DOCKER_IO_USERNAME=you",
		"STRATA_UPSTREAMS_DOCKER_IO_PASSWORD_FILE=/p", "STRATA_UPSTREAMS_QUAY_IO_ATTEMPTS=2",
		"STRATA_PORT=tcp://10.0.0.1:5000", "STRATA_SERVICE_HOST=10.0.0.1", "STRATA_SERVICE_PORT_ADMIN=5001",
		"STRATA_PORT_5000_TCP_ADDR=10.0.0.1", "STRATA_ADMIN_SERVICE_PORT=5001", "STRATAX=1",
	})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := Default()
	want.Listen, want.Admin.Listen, want.Jobs, want.CacheBytes = "0.0.0.0:80", "127.0.0.1:81", 4, 1<<20
	want.Log, want.ShutdownTimeout, want.WorkDir = Log{Level: 4, Format: LogJSON}, Duration(5*time.Second), "/w"
	want.TLS, want.DefaultUpstream = TLS{CertFile: abs(t, "c"), KeyFile: abs(t, "k"), ClientAuth: ClientAuthNone},
		"docker.io"
	want.Storage.Parameters[rootDirectory] = "/var/lib/strata/data"
	mine, hub, quay := DefaultUpstreamSettings(), DefaultUpstreamSettings(), DefaultUpstreamSettings()
	mine.Username, mine.Password = "me", NewSecret("# new: 1")
	hub.Username, hub.PasswordFile = "you", "/p"
	quay.Attempts = 2
	want.Upstreams = map[string]Upstream{"my-registry.example:5000": mine, "docker.io": hub, "quay.io": quay}
	rule := DefaultRule()
	rule.Match = "quay.io/fedora/*"
	want.Repositories = []Rule{rule}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEnvironmentStorage(t *testing.T) {
	t.Parallel()
	s3 := []string{"STRATA_STORAGE_S3_BUCKET=b", "STRATA_STORAGE_S3_REGION=r"}
	c, _, err := parse("", nil, s3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Storage{Driver: "s3", Parameters: map[string]any{"bucket": "b", "region": "r"}},
		c.Storage); diff != "" {
		t.Errorf("a driver from the environment alone: %s", diff)
	}
	if _, _, err := parse("c.yml", []byte("storage: {s3: {bucket: a, region: x}}"), s3); err != nil {
		t.Errorf("overriding the file's driver: %v", err)
	}
	for _, tc := range [][]string{{"storage: {filesystem: }", "STRATA_STORAGE_S3_BUCKET=b"},
		{"", "STRATA_STORAGE_S3_BUCKET=b", "STRATA_STORAGE_GCS_BUCKET=b"}} {
		if _, _, err := parse("c.yml", []byte(tc[0]), tc[1:]); err == nil {
			t.Errorf("two drivers are accepted: %q", tc)
		}
	}
}

func TestEnvironmentErrors(t *testing.T) {
	t.Parallel()
	file := "upstreams:\n  a-b.io: {}\n  a.b.io: {}\n"
	_, _, err := parse("c.yml", []byte(file), []string{
		"STRATA_LISTN=x", "STRATA_JOBS=many", "STRATA_UPSTREAMS_A_B_IO_ATTEMPTS=2", "STRATA_UPSTREAMS_QUAY_IO_USERNAME=x",
		"STRATA_STORAGE_FLOPPY_SIZE=1", "STRATA_LISTEN=nowhere", "STRATA_REPOSITORIES_0_MATCH=x", "STRATA_STORAGE_S3=x",
	})
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`environment variable STRATA_JOBS: jobs: "many" is no whole number of at most 32 bits`,
		`environment variable STRATA_LISTN: sets no key that exists: did you mean STRATA_LISTEN?`,
		`environment variable STRATA_REPOSITORIES_0_MATCH: sets no key that exists`,
		`environment variable STRATA_STORAGE_FLOPPY_SIZE: names no storage driver; there are filesystem, inmemory, s3, s3aws`,
		`environment variable STRATA_STORAGE_S3: names no storage driver; there are filesystem, inmemory, s3, s3aws`,
		`environment variable STRATA_UPSTREAMS_A_B_IO_ATTEMPTS: upstreams: could mean any of the hosts a-b.io, a.b.io: set it in the file`,
		`environment variable STRATA_UPSTREAMS_QUAY_IO_USERNAME: sets no key of a host that is configured: name the host under upstreams in the file`,
		`environment variable STRATA_LISTEN: listen: "nowhere" is no address to listen on: write host:port, such as 127.0.0.1:5000 or :5000`,
	}
	if diff := cmp.Diff(want, lines(all.Problems)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// No key is out of reach because its variable looks like one of Kubernetes'.
func TestVariablesAreNotKubernetes(t *testing.T) {
	t.Parallel()
	table := map[string]override{}
	c := Default()
	addFields(table, reflect.ValueOf(c).Elem(), "")
	addUpstreams(table, c)
	for name := range table {
		if kubernetesVariable.MatchString(name) || name == configVariable {
			t.Errorf("%s cannot be set", name)
		}
	}
	if len(table) < 20 {
		t.Errorf("only %d variables", len(table))
	}
}

// No variable makes loading fail in another way than with an error that names it.
func FuzzEnvironment(f *testing.F) {
	f.Add("LISTEN", "127.0.0.1:1")
	f.Add("UPSTREAMS_GHCR_IO_PASSWORD", "x")
	f.Add("STORAGE_S3_BUCKET", "b")
	f.Add("STORAGE__", "x")
	f.Add("PORT_1_TCP", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		_, _, err := parse("", nil, []string{envPrefix + name + "=" + value})
		var all *Error
		if err != nil && !errors.As(err, &all) {
			t.Errorf("got %v", err)
		}
	})
}
