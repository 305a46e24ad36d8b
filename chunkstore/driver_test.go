package chunkstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/chunkstore"
)

func TestOpenDriverErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		params map[string]any
		want   string
	}{
		{"ftp", nil, `storage driver "ftp" is not known; use filesystem, inmemory or s3`},
		{"", nil, `storage driver "" is not known; use filesystem, inmemory or s3`},
		{"filesystem", nil, `storage driver "filesystem": parameter "rootdirectory" is missing: name the directory to keep the store in`},
		{"filesystem", map[string]any{"rootdir": "/x"},
			`storage driver "filesystem": parameter "rootdir" is not known; it takes maxthreads, rootdirectory`},
		{"filesystem", map[string]any{"rootdirectory": "x", "maxthreads": "many"},
			`storage driver "filesystem": maxthreads config error: parameter must be an integer, 'many' invalid`},
		{"inmemory", map[string]any{"x": 1}, `storage driver "inmemory": parameter "x" is not known; it takes none`},
		{"s3", map[string]any{"region": "us-east-1"}, `storage driver "s3": no bucket parameter provided`},
		{"s3", map[string]any{"bucket": "b"}, `storage driver "s3": no region parameter provided`},
		{"s3", map[string]any{"bucket": "b", "region": "us-east-1", "secure": "perhaps"},
			`storage driver "s3": the secure parameter should be a boolean`},
	} {
		_, err := chunkstore.OpenDriver(t.Context(), c.name, c.params)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %v: %v\nwant %s", c.name, c.params, err, c.want)
		}
	}
}

func TestOpenDriverLeavesParamsAlone(t *testing.T) {
	t.Parallel()
	params := map[string]any{"rootdirectory": "relative"}
	openDriver(t, "filesystem", params)
	if params["rootdirectory"] != "relative" {
		t.Errorf("params are now %v", params)
	}
	s3 := openDriver(t, "s3", map[string]any{"bucket": "b", "regionendpoint": "http://127.0.0.1:1"})
	if s3.Name() != "s3aws" {
		t.Errorf("the driver is %s", s3.Name())
	}
}

func TestNewOnUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := chunkstore.New(openDriver(t, "filesystem", map[string]any{"rootdirectory": file}), chunkstore.Options{})
	if err == nil || strings.ContainsAny(err.Error(), "\n{}") || !strings.Contains(err.Error(), file) {
		t.Errorf("on a file: %v", err)
	}
	if _, err := chunkstore.New(nil, chunkstore.Options{}); err == nil {
		t.Error("no driver: no error")
	}
	missing := filepath.Join(t.TempDir(), "not", "there", "yet")
	if _, err := chunkstore.New(openDriver(t, "filesystem", map[string]any{"rootdirectory": missing}),
		chunkstore.Options{}); err != nil {
		t.Errorf("in a directory to be made: %v", err)
	}
	if _, err := os.Stat(filepath.Join(missing, "v1", "format")); errors.Is(err, fs.ErrNotExist) {
		t.Error("no marker was written")
	}
}
