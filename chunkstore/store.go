package chunkstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/keylock"
)

// DefaultCacheBytes is the hot cache's size when Options does not say.
const DefaultCacheBytes = 64 << 20

// cleanupTimeout bounds the removal of an upload whose writer's context has ended already.
const cleanupTimeout = 10 * time.Second

// Options tune a Store. The zero value is usable.
type Options struct {
	// CacheBytes bounds the memory of the cache for small documents; 0 means DefaultCacheBytes, a negative value no cache.
	CacheBytes int64
	// RecordTTL is how long a record that was read may be answered from memory. A process sees its own changes at once; with
	// several replicas on one backend, another one's change is seen after this time at the latest. 0 means that records are
	// never cached, which is right for whatever must not be stale.
	RecordTTL time.Duration
	// CallLimit is how long a look-up in the backend may take before it fails with ErrUnreachable; reading may take four
	// times as long without a byte, each part of an upload eight times, moving an object 60 times. 0 means DefaultCallLimit
	// for an "s3" driver and no limit for others, which heed no context; a negative value means none.
	CallLimit time.Duration
	// Space, when not nil, is told of all content that comes and goes, and bounds it.
	Space Space
	// Returned is asked before a store of files is used again that went away while it was open and came back as other files,
	// as from a file system that was mounted anew. Its error says why it is not. nil: it is used.
	Returned func() error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of leftovers that could not be cleaned up. They do no harm, and SweepUploads removes them. nil means
	// silence.
	Logger *slog.Logger
}

// Store keeps content and records on a storage driver. It is safe for concurrent use.
type Store struct {
	driver storagedriver.StorageDriver
	// dirs is nil unless the driver keeps files.
	dirs *dirSyncer
	// wholePuts: the driver's PutContent makes all of an object visible at once.
	wholePuts bool
	cache     *hotCache
	recordTTL time.Duration
	now       func() time.Time
	log       *slog.Logger
	uploads   uploadSet
	space     Space
	// changing is held, by path, while an object is put to its place or removed from there by its age.
	changing keylock.Locks
	readers  readerSet
	changes  changeCounts
}

// New opens the store on a driver, and begins one where the backend is empty. It gives up with ErrFormat on a backend that
// holds something else, and with private.ErrExposed on a directory that other users can change.
func New(driver storagedriver.StorageDriver, opts Options) (*Store, error) {
	return NewContext(context.Background(), driver, opts)
}

// NewContext is New with a context for its few calls of the driver.
func NewContext(ctx context.Context, driver storagedriver.StorageDriver, opts Options) (*Store, error) {
	if driver == nil {
		return nil, errors.New("open store: no storage driver given")
	}
	s := &Store{
		wholePuts: driver.Name() == "s3aws",
		cache:     newHotCache(opts.CacheBytes),
		recordTTL: opts.RecordTTL,
		now:       opts.Now,
		log:       opts.Logger,
		uploads:   uploadSet{ids: map[string]struct{}{}},
		space:     opts.Space,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	files, isFiles := driver.(*privateFiles)
	if isFiles {
		if err := files.prepare(); err != nil {
			return nil, failedWrite("open store", err)
		}
	}
	s.driver = guard(driver, opts.CallLimit, s.log)
	begun, err := s.openFormat(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.findDirs(ctx); err != nil {
		return nil, err
	}
	if begun {
		s.dirs.above()
	}
	if isFiles {
		if err := files.here.settle(opts.Returned, s.log); err != nil {
			return nil, failedWrite("open store", err)
		}
	}
	return s, nil
}

// findDirs finds out whether the driver keeps files, by asking for one that exists.
func (s *Store) findDirs(ctx context.Context) error {
	rc, err := s.driver.Reader(ctx, formatPath, 0)
	if err != nil {
		return failed("open store", err)
	}
	defer rc.Close()
	f, ok := rc.(*os.File)
	if !ok {
		return nil
	}
	s.dirs = newDirSyncer(f, formatPath)
	// The store may have been begun just now, or its first process may have died before this line.
	return failedWrite("open store", s.dirs.placed(formatPath))
}

// newID returns 32 random hex digits.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// stat returns what lies at a path; a directory is nothing. On S3 a directory also stands for any longer object name.
func (s *Store) stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	fi, err := s.driver.Stat(ctx, path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return nil, storagedriver.PathNotFoundError{Path: path, DriverName: s.driver.Name()}
	}
	return fi, nil
}

// remove deletes the object at a path. It is no error when there is none.
func (s *Store) remove(ctx context.Context, path string) error {
	err := s.driver.Delete(ctx, path)
	if err != nil && anyCause(causes(err), isNotFound) {
		return nil
	}
	return err
}

// walk calls fn for each object below dir, in the driver's order. fn's error ends the walk and is returned as it is; the
// drivers would wrap it.
func (s *Store) walk(ctx context.Context, op, dir string, fn func(storagedriver.FileInfo) error) error {
	return s.walkFrom(ctx, op, dir, dir+"/", fn)
}

// walkFrom is walk for the objects whose paths begin with begin, which lies in dir, and what comes after them, in ascending
// order. Others may be seen before.
func (s *Store) walkFrom(ctx context.Context, op, dir, begin string, fn func(storagedriver.FileInfo) error) error {
	var options []func(*storagedriver.WalkOptions)
	// The drivers take a name that begins with two dots for one outside of dir.
	if name := path.Base(begin); begin != dir+"/" && !strings.HasPrefix(name, "..") {
		// The mark comes before all bytes of names, and nothing is called so, which the drivers would look into.
		options = append(options, storagedriver.WithStartAfterHint(begin+"!"))
	}
	var own error
	err := s.driver.Walk(ctx, dir, func(fi storagedriver.FileInfo) error {
		if own = ctx.Err(); own == nil && !fi.IsDir() {
			own = fn(fi)
		}
		if own != nil {
			return storagedriver.ErrFilledBuffer
		}
		return nil
	}, options...)
	switch {
	case own != nil:
		return own
	case err != nil && anyCause(causes(err), isNotFoundAt(dir)):
		return nil // nothing was ever stored there
	}
	return failedWrite(op, err)
}

// isNotFoundAt matches a path that does not exist; another path that vanished in a walk would leave its result incomplete.
func isNotFoundAt(path string) func(error) bool {
	return func(err error) bool {
		e, ok := err.(storagedriver.PathNotFoundError)
		return ok && e.Path == path
	}
}
