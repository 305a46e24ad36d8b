package chunkstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Info describes stored content.
type Info struct {
	Digest digest.Digest
	// Size in bytes.
	Size int64
	// ModTime is when the content was stored, by the backend's clock.
	ModTime time.Time
}

// Stat returns the size in bytes of stored content, or ErrNotFound.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	if err := checkDigest(d); err != nil {
		return 0, err
	}
	fi, err := s.stat(ctx, blobPath(d))
	if err != nil {
		return 0, failed("stat content "+string(d), err)
	}
	return fi.Size(), nil
}

// Put stores a small document and returns its SHA-256 digest. Storing what is there already is a success.
func (s *Store) Put(ctx context.Context, b []byte) (digest.Digest, error) {
	d := digest.FromBytes(b)
	dest, key := blobPath(d), cacheKey{name: string(d)}
	epoch := s.cache.epoch(key)
	if err := s.putContent(ctx, "put content "+string(d), dest, b); err != nil {
		return "", err
	}
	if s.cache.fits(len(b)) {
		s.cache.put(key, bytes.Clone(b), time.Time{}, epoch)
	}
	return d, nil
}

func (s *Store) putContent(ctx context.Context, op, dest string, b []byte) error {
	size := int64(len(b))
	there, fresh := s.lookup(ctx, dest, size)
	if fresh {
		return failedWrite(op, s.dirs.placed(dest))
	}
	if there < size {
		if err := s.admit(op, int64(len(b))); err != nil {
			return err
		}
	}
	if err := s.place(ctx, op, dest, b); err != nil {
		return err
	}
	s.grew(size - there)
	return nil
}

// Get returns a small document of at most max bytes: ErrNotFound, ErrTooLarge, or ErrCorrupt when the backend returns
// something else than the digest stands for. The bytes are shared with other callers and must not be changed.
func (s *Store) Get(ctx context.Context, d digest.Digest, max int64) ([]byte, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	key := cacheKey{name: string(d)}
	if b, ok := s.cache.get(key, time.Time{}); ok {
		if int64(len(b)) > max {
			return nil, tooLarge("get content "+string(d), max)
		}
		return b, nil
	}
	epoch := s.cache.epoch(key)
	b, err := s.read(ctx, "get content "+string(d), blobPath(d), max)
	if err != nil {
		return nil, err
	}
	if got := d.Algorithm().FromBytes(b); got != d {
		return nil, reject("get content "+string(d), ErrCorrupt, fmt.Sprintf("its bytes have the digest %s", got))
	}
	s.cache.put(key, b, time.Time{}, epoch)
	return b, nil
}

// Verify reads stored content through and compares it with its digest: nil, ErrCorrupt or ErrNotFound.
func (s *Store) Verify(ctx context.Context, d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	got, err := s.hashObject(ctx, blobPath(d), d.Algorithm())
	if err != nil {
		return failed("verify content "+string(d), err)
	}
	if got != d {
		return reject("verify content "+string(d), ErrCorrupt, fmt.Sprintf("its bytes have the digest %s", got))
	}
	return nil
}

// Delete removes content. Deleting what is not there is a success. Who has the content open may go on reading it on a
// filesystem, and gets an error elsewhere; another replica may answer Get from its cache for a while.
func (s *Store) Delete(ctx context.Context, d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	defer s.cache.drop(cacheKey{name: string(d)})
	size := int64(0)
	if fi, err := s.stat(ctx, blobPath(d)); err == nil && s.space != nil {
		size = fi.Size()
	}
	if err := s.remove(ctx, blobPath(d)); err != nil {
		return failedWrite("delete content "+string(d), err)
	}
	s.grew(-size)
	return nil
}

// Walk calls fn for each stored content, in no particular order. What is stored or deleted meanwhile may or may not be seen.
// fn may use the store. Its error ends the walk and is returned as it is.
func (s *Store) Walk(ctx context.Context, fn func(Info) error) error {
	return s.walk(ctx, "walk content", blobsDir, func(fi storagedriver.FileInfo) error {
		d, ok := parseBlobPath(fi.Path())
		if !ok {
			return nil
		}
		return fn(Info{Digest: d, Size: fi.Size(), ModTime: fi.ModTime()})
	})
}
