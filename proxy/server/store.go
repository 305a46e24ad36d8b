package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/chunkstore/private"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/workdir"
)

// staleUploads is the age at which what a killed process left half written is removed from a store that others may be using.
const staleUploads = time.Hour

// openStore opens the store and removes what killed processes left in it: all of it when no other process uses the store's
// directory, else what is old. The claim is nil where others can't be told of.
func openStore(
	ctx context.Context, cfg *config.Config, space chunkstore.Space, log *slog.Logger,
) (*chunkstore.Store, *claim.Claim, error) {
	root, files := directory(cfg)
	o := chunkstore.Options{CacheBytes: int64(cfg.CacheBytes), Space: space, Logger: log}
	if o.CacheBytes == 0 {
		o.CacheBytes = -1
	}
	driver, err := chunkstore.OpenDriver(ctx, cfg.Storage.Driver, cfg.Storage.Parameters)
	if err != nil {
		return nil, nil, storageError(cfg, err)
	}
	var held *claim.Claim
	o.Returned = func() error { return held.Renew() }
	var chunks *chunkstore.Store
	open := func(age time.Duration) error {
		var err error
		if chunks, err = chunkstore.NewContext(ctx, driver, o); err == nil {
			sweepUploads(ctx, chunks, age, log)
		}
		return err
	}
	if files {
		if held, err = claimDirectory(root, log, func() error { return open(0) }); err != nil {
			return nil, nil, storageError(cfg, err)
		}
	}
	if chunks == nil {
		if err := open(staleUploads); err != nil {
			return nil, nil, errors.Join(storageError(cfg, err), held.Release())
		}
	}
	return chunks, held, nil
}

// directory returns the directory of a filesystem store.
func directory(cfg *config.Config) (root string, ok bool) {
	root, ok = cfg.Storage.Parameters["rootdirectory"].(string)
	return root, ok && cfg.Storage.Driver == "filesystem"
}

// within is the space that a store may take: within the quota, and of its filesystem all but what is to stay free.
func within(cfg *config.Config, quota chunkstore.Space, minFree func() int64) chunkstore.Space {
	root, files := directory(cfg)
	if !files {
		return quota
	}
	return &freeFloor{Space: quota, dir: root, floor: minFree}
}

// recordAge is for how long a tag's record is remembered that another process on the same store may have changed: what this
// one changes it sees at once. Each look is a file to read, or a request to another machine, on every pull.
const recordAge = time.Second

func sweepUploads(ctx context.Context, chunks *chunkstore.Store, age time.Duration, log *slog.Logger) {
	n, err := chunks.SweepUploads(ctx, age)
	if err != nil {
		log.Warn("leftovers of an earlier process could not be removed", "error", err)
	} else if n > 0 {
		log.Info("leftovers of an earlier process removed", "uploads", n)
	}
}

// claimDirectory makes a directory and claims it, as workdir.Claim does. Where the filesystem has no locks, nothing is
// claimed and nobody is alone.
func claimDirectory(dir string, log *slog.Logger, alone func() error) (*claim.Claim, error) {
	if err := private.Directory(dir); err != nil {
		return nil, err
	}
	c, err := workdir.Claim(dir, alone)
	if errors.Is(err, claim.ErrUnsupported) {
		log.Info("the directory can't be locked; leftovers of killed processes stay for a while", "directory", dir, "error",
			err)
		return nil, nil
	}
	return c, err
}

// openWork makes the directory for temporary files and, when no other process uses it, removes those of killed ones.
func openWork(cfg *config.Config, log *slog.Logger) (string, *claim.Claim, error) {
	dir := cfg.WorkDirectory()
	held, err := claimDirectory(dir, log, nil)
	if errors.Is(err, private.ErrExposed) {
		return "", nil, fmt.Errorf("directory for temporary files, work_dir (STRATA_WORK_DIR): %w", err)
	}
	if err != nil {
		return "", nil, fmt.Errorf("directory for temporary files: %w: set work_dir (STRATA_WORK_DIR) to one that can be written", err)
	}
	return dir, held, nil
}

// claimToServe keeps two proxies from one directory that know nothing of each other, and work on images from writing what a
// proxy does not hear of.
func claimToServe(cfg *config.Config, held *claim.Claim) error {
	err := held.Serve(cfg.Redis.Address != "")
	if errors.Is(err, claim.ErrInUse) {
		return fmt.Errorf("%w at %s: stop it, set storage.filesystem.rootdirectory (STRATA_STORAGE_FILESYSTEM_ROOTDIRECTORY) to a "+
			"directory of this proxy's own, or give all replicas the same redis.address", ErrInUse,
			storageName(cfg).Location)
	}
	return err
}

// OpenStore is a store beside whoever uses it, for a command that adds to it.
type OpenStore struct {
	Chunks *chunkstore.Store
	// Leases keep the replicas of the proxy from a thing; nil without Redis.
	Leases *lease.Leases
	// Beside keeps the other processes on this machine from a name.
	Beside func(ctx context.Context, name string) (unlock func(), err error)
}

// WithStore opens the store of a configuration, and lets work add to it.
func WithStore(ctx context.Context, cfg *config.Config, log *slog.Logger,
	work func(context.Context, OpenStore) error) (err error) {
	space := within(cfg, upkeep.NewUsage(int64(cfg.Quota)), func() int64 { return int64(cfg.MinFree) })
	chunks, held, err := openStore(ctx, cfg, space, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	conn, leases, err := openRedis(ctx, cfg, log)
	if err != nil {
		return err
	}
	if conn != nil {
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	return work(ctx, OpenStore{Chunks: chunks, Leases: leases, Beside: held.Lock})
}
