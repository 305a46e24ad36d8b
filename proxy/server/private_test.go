//go:build unix

package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/server"
)

// Directories that others can change are refused, each with one line that says which and what to do.
func TestExposedDirectories(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		dir  func(c *config.Config) string
		says string
	}{
		"store":    {func(c *config.Config) string { return c.Storage.Parameters["rootdirectory"].(string) }, "storage "},
		"work_dir": {func(c *config.Config) string { return c.WorkDirectory() }, "work_dir"},
	} {
		for kind, expose := range map[string]func(dir string) error{
			"everybody can write to it": func(dir string) error { return os.Chmod(dir, 0o777) },
			"it belongs to user 12345":  func(dir string) error { return os.Chown(dir, 12345, 12345) },
		} {
			t.Run(name+": "+kind, func(t *testing.T) {
				t.Parallel()
				if strings.HasPrefix(kind, "it belongs") && os.Geteuid() != 0 {
					t.Skip("only root gives files away")
				}
				c := configuration(t)
				c.Storage.Parameters = map[string]any{"rootdirectory": filepath.Join(t.TempDir(), "data")}
				c.WorkDir = filepath.Join(t.TempDir(), "work")
				dir := tc.dir(c)
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := expose(dir); err != nil {
					t.Fatal(err)
				}
				_, err := server.New(t.Context(), server.Options{Config: c})
				if err == nil {
					t.Fatal("the proxy runs")
				}
				for _, want := range []string{tc.says, dir, kind} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				if strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), kind) != 1 {
					t.Errorf("not one clear line: %s", err)
				}
			})
		}
	}
}
