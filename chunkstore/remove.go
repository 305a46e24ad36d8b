package chunkstore

import (
	"context"
	"sync"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// FreshFor is how young stored content has to be for a writer of the same content to leave it alone; older content is
// written again, which gives it a new time. Whoever removes content by its age can hence rely on it: what anybody stored or
// found stored through a Writer or with Put after a time t has a ModTime of at least t - FreshFor.
const FreshFor = 2 * time.Minute

// DeleteUnused removes content unless it was stored at or after limit, by the backend's clock, or this process has it open
// and would not be able to read on. No write of this process can come between the look and the removal. It reports whether
// the content is gone.
func (s *Store) DeleteUnused(ctx context.Context, d digest.Digest, limit time.Time) (bool, error) {
	if err := checkDigest(d); err != nil {
		return false, err
	}
	op, at := "delete content "+string(d), blobPath(d)
	defer s.changing.Lock(at)()
	if s.readers.has(d) {
		return false, nil
	}
	fi, gone, err := s.older(ctx, op, at, limit)
	if fi == nil {
		return gone, err
	}
	defer s.cache.drop(cacheKey{name: string(d)})
	if err := s.remove(ctx, at); err != nil {
		return false, failedWrite(op, err)
	}
	s.grew(-fi.Size())
	return true, nil
}

// DeleteRecordUnused removes a record unless it was written at or after limit, by the backend's clock. It reports whether
// the record is gone. No write of this process can come between the look and the removal.
func (s *Store) DeleteRecordUnused(ctx context.Context, kind, key string, limit time.Time) (bool, error) {
	file, err := fileOf(kind, key)
	if err != nil {
		return false, err
	}
	op := recordOp("delete", kind, key)
	defer s.changing.Lock(file.path)()
	fi, gone, err := s.older(ctx, op, file.path, limit)
	if fi == nil {
		return gone, err
	}
	defer s.recordChanged(kind, key)
	if err := s.remove(ctx, file.path); err != nil {
		return false, failedWrite(op, err)
	}
	return true, failedWrite(op, s.dirs.placed(file.path))
}

// older looks at the object at a path: its properties when it was written before limit; else nil, and whether there is none.
func (s *Store) older(ctx context.Context, op, at string, limit time.Time) (fi storagedriver.FileInfo, gone bool,
	err error) {
	fi, err = s.stat(ctx, at)
	switch {
	case err != nil && anyCause(causes(err), isNotFound):
		return nil, true, nil
	case err != nil:
		return nil, false, failed(op, err)
	case !fi.ModTime().Before(limit):
		return nil, false, nil
	}
	return fi, false, nil
}

// readerSet counts who reads content that could not be read on after its removal.
type readerSet struct {
	mu   sync.Mutex
	open map[digest.Digest]int
}

func (r *readerSet) add(d digest.Digest) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[digest.Digest]int{}
	}
	r.open[d]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.open[d]--; r.open[d] == 0 {
			delete(r.open, d)
		}
	}
}

func (r *readerSet) has(d digest.Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[d] > 0
}
