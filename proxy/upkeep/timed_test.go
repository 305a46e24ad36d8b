package upkeep

import (
	"context"
	"sync"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// timed is a driver whose objects have the times of a clock that tests move.
type timed struct {
	storagedriver.StorageDriver
	clock *clock

	mu    sync.Mutex
	times map[string]time.Time
}

func newTimed(driver storagedriver.StorageDriver, c *clock) *timed {
	return &timed{StorageDriver: driver, clock: c, times: map[string]time.Time{}}
}

func (d *timed) touch(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times[path] = d.clock.now()
}

func (d *timed) PutContent(ctx context.Context, path string, b []byte) error {
	d.touch(path)
	return d.StorageDriver.PutContent(ctx, path, b)
}

func (d *timed) Move(ctx context.Context, from, to string) error {
	d.touch(to)
	return d.StorageDriver.Move(ctx, from, to)
}

type timedInfo struct {
	storagedriver.FileInfo
	modified time.Time
}

func (i timedInfo) ModTime() time.Time { return i.modified }

func (d *timed) info(fi storagedriver.FileInfo) storagedriver.FileInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.times[fi.Path()]; ok {
		return timedInfo{fi, at}
	}
	return fi
}

func (d *timed) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	fi, err := d.StorageDriver.Stat(ctx, path)
	if err != nil {
		return nil, err
	}
	return d.info(fi), nil
}

func (d *timed) Walk(ctx context.Context, path string, fn storagedriver.WalkFn,
	options ...func(*storagedriver.WalkOptions)) error {
	return d.StorageDriver.Walk(ctx, path, func(fi storagedriver.FileInfo) error { return fn(d.info(fi)) }, options...)
}
