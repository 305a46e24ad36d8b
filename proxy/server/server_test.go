package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/proxy/upkeep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configuration is the default one on free ports and in a directory of its own.
func configuration(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Storage.Parameters = map[string]any{"rootdirectory": filepath.Join(t.TempDir(), "data")}
	c.ShutdownTimeout = config.Duration(10 * time.Second)
	return c
}

// serve makes a server and runs it until the test ends.
func serve(t *testing.T, c *config.Config) *server.Server {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{Config: c, Version: "v0-test"})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s)
}

// run runs a server until the test ends.
func run(t testing.TB, s *server.Server) *server.Server {
	t.Helper()
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(errors.Join(err, s.Close()))
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := serve(t, configuration(t))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport}
	response, err := web.Get("http://" + s.Addr().String() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("clients get %s", response.Status)
	}
	operator := admin.NewClient("http://"+s.AdminAddr().String(), web)
	if err := operator.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	status, err := operator.Status(t.Context())
	if err != nil || status.Version != "v0-test" || status.Store.Driver != "filesystem" ||
		!filepath.IsAbs(status.Store.Location) {
		b, _ := json.Marshal(status)
		t.Errorf("status %s, %v", b, err)
	}
}

// An address that is taken is told at once, with the key that sets it, and nothing stays behind.
func TestListenTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for key, set := range map[string]func(*config.Config){
		"STRATA_LISTEN":       func(c *config.Config) { c.Listen = taken.Addr().String() },
		"STRATA_ADMIN_LISTEN": func(c *config.Config) { c.Admin.Listen = taken.Addr().String() },
	} {
		c := configuration(t)
		set(c)
		s, err := server.New(t.Context(), server.Options{Config: c})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Listen(t.Context())
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) ||
			!strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What killed processes left goes when the proxy starts, and when upkeep has the store for itself.
func TestLeftoversAreSwept(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*testing.T, *config.Config){
		"serve": func(t *testing.T, c *config.Config) { serve(t, c) },
		"maintain": func(t *testing.T, c *config.Config) {
			if err := server.Maintain(t.Context(), c, slog.New(slog.DiscardHandler),
				func(context.Context, *upkeep.Keeper) error { return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := configuration(t)
			dirs := []string{c.Storage.Parameters["rootdirectory"].(string), c.WorkDirectory()}
			if name == "maintain" { // which uses the store alone
				dirs = dirs[:1]
			}
			var left []string
			for _, dir := range dirs {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				left = append(left, filepath.Join(dir, "rpmdb-1"), filepath.Join(dir, "strata-tmp-download-2"))
			}
			for _, path := range left {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			use(t, c)
			for _, path := range left {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
}

func TestNewRefusesStorage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*config.Config){
		"rootdirectory": func(c *config.Config) { c.Storage.Parameters = map[string]any{"rootdirectory": file} },
		"work_dir":      func(c *config.Config) { c.WorkDir = filepath.Join(file, "work") },
		"storage":       func(c *config.Config) { c.Storage = config.Storage{Driver: "tape"} },
	} {
		c := configuration(t)
		change(c)
		if _, err := server.New(t.Context(), server.Options{Config: c}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
