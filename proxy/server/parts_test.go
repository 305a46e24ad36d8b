package server

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/config"
)

// What is wrong with a store is told with its place, where it has one.
func TestStorageError(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for want, s := range map[string]config.Storage{
		"storage inmemory: away":      {Driver: "inmemory"},
		"storage s3 layers: away":     {Driver: "s3", Parameters: map[string]any{"bucket": "layers"}},
		"storage filesystem /x: away": {Driver: "filesystem", Parameters: map[string]any{"rootdirectory": "/x"}},
	} {
		if got := storageError(&config.Config{Storage: s}, away).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	denied := &fs.PathError{Op: "mkdir", Path: "/x", Err: fs.ErrPermission}
	c := &config.Config{Storage: config.Storage{Driver: "filesystem", Parameters: map[string]any{"rootdirectory": "/x"}}}
	if err := storageError(c, denied); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "STRATA_STORAGE_FILESYSTEM") {
		t.Error(err)
	}
}
