package chunkstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	// The drivers that OpenDriver always knows.
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// OpenDriver makes a storage driver by its name and parameters, as in distribution's configuration: "filesystem"
// (rootdirectory, maxthreads), "inmemory", or "s3" (bucket, region, regionendpoint, accesskey, …). Other names work when the
// program imports a driver that registers itself under them.
//
// Unlike the drivers, it refuses parameters that the driver would ignore and a filesystem without a rootdirectory. Making a
// driver touches no backend; New does. With AWS_CA_BUNDLE in the environment, AWS's library changes http.DefaultClient when
// an "s3" driver is made: make it before that client is in use.
func OpenDriver(ctx context.Context, name string, params map[string]any) (storagedriver.StorageDriver, error) {
	op := fmt.Sprintf("storage driver %q", clip(name))
	if err := checkParams(name, params); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	ready, err := completeParams(name, params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	driver, err := factory.Create(ctx, name, ready)
	if unknown := (factory.InvalidStorageDriverError{}); errors.As(err, &unknown) {
		return nil, fmt.Errorf("%s is not known; use filesystem, inmemory or s3", op)
	}
	if err != nil {
		return nil, failedWrite(op, err)
	}
	if root, ok := ready["rootdirectory"].(string); ok && name == "filesystem" {
		return newPrivateFiles(driver, root), nil
	}
	return driver, nil
}

// checkParams refuses parameters that a known driver would silently ignore.
func checkParams(name string, params map[string]any) error {
	known, ok := driverParams()[name]
	if !ok {
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(params)) {
		if slices.Contains(known, p) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("parameter %q is not known; it takes none", clip(p))
		}
		return fmt.Errorf("parameter %q is not known; it takes %s", clip(p), strings.Join(known, ", "))
	}
	return nil
}

// driverParams are the parameters of distribution v3.1's drivers.
func driverParams() map[string][]string {
	s3 := []string{
		"accelerate", "accesskey", "bucket", "chunksize", "encrypt", "forcepathstyle", "keyid", "loglevel",
		"multipartcopychunksize", "multipartcopymaxconcurrency", "multipartcopythresholdsize", "objectacl",
		"redirectendpoint",
		"region", "regionendpoint", "rootdirectory", "secretkey", "secure", "skipverify", "storageclass", "usedualstack",
		"usefipsendpoint", "useragent", "v4auth",
	}
	return map[string][]string{
		"filesystem": {"maxthreads", "rootdirectory"},
		"inmemory":   {},
		"s3":         s3,
		"s3aws":      s3,
	}
}

// completeParams replaces defaults of the drivers that do harm.
func completeParams(name string, params map[string]any) (map[string]any, error) {
	out := maps.Clone(params)
	if out == nil {
		out = map[string]any{}
	}
	switch name {
	case "filesystem":
		// The driver's own default is another program's directory.
		root, ok := out["rootdirectory"].(string)
		if !ok || root == "" {
			return nil, errors.New("parameter \"rootdirectory\" is missing: name the directory to keep the store in")
		}
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, fmt.Errorf("rootdirectory %q: %w", clip(root), err)
		}
		out["rootdirectory"] = abs
	case "s3", "s3aws":
		// With an endpoint and no region the driver signs for the region "<nil>".
		if out["regionendpoint"] != nil && out["region"] == nil {
			out["region"] = "us-east-1"
		}
	}
	return out, nil
}
