package chunkstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Quarantine takes damaged content out of sight: it is moved to /v1/quarantine, where an operator may look at it, and counts
// as missing from then on. It is no error when there is none. Who has it open may go on reading on a filesystem.
func (s *Store) Quarantine(ctx context.Context, d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	defer s.cache.drop(cacheKey{name: string(d)})
	return s.setAside(ctx, "quarantine content "+string(d), blobPath(d), strings.Replace(string(d), ":", "-", 1))
}

// QuarantineRecord does with a damaged record what Quarantine does with content.
func (s *Store) QuarantineRecord(ctx context.Context, kind, key string) error {
	file, err := fileOf(kind, key)
	if err != nil {
		return err
	}
	defer s.recordChanged(kind, key)
	sum := sha256.Sum256([]byte(key))
	return s.setAside(ctx, recordOp("quarantine", kind, key), file.path, "record-"+kind+"-"+hex.EncodeToString(sum[:]))
}

// QuarantineNameless moves those records of a kind to quarantine that should begin with their keys and do not, so that
// nobody can say whose they are; WalkRecords fails where there are such. It returns how many there were.
func (s *Store) QuarantineNameless(ctx context.Context, kind string) (n int, err error) {
	if err := checkKind(kind); err != nil {
		return 0, err
	}
	var bad []string
	dir := recordsDir + "/" + kind
	err = s.walk(ctx, "list records of kind "+kind, dir, func(fi storagedriver.FileInfo) error {
		if _, long, ok := parseName(path.Base(fi.Path())); !ok || !long || path.Dir(fi.Path()) != dir {
			return nil
		}
		_, err := s.readKey(ctx, kind, fi.Path())
		if errors.Is(err, ErrCorrupt) {
			bad, err = append(bad, fi.Path()), nil
		}
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	defer s.kindChanged(kind)
	for _, p := range bad {
		sum := sha256.Sum256([]byte(p))
		if err == nil {
			err = s.setAside(ctx, "quarantine a record of kind "+kind, p, "record-"+kind+"-"+hex.EncodeToString(sum[:]))
		}
	}
	return len(bad), err
}

func (s *Store) setAside(ctx context.Context, op, from, name string) error {
	defer s.changing.Lock(from)()
	to := fmt.Sprintf("%s/%d-%s", quarantineDir, s.now().Unix(), name)
	err := s.driver.Move(ctx, from, to)
	if err != nil && anyCause(causes(err), isNotFound) {
		return nil
	}
	if err == nil {
		if err = s.dirs.placed(to); err == nil {
			err = s.dirs.placed(from)
		}
	}
	return failedWrite(op, err)
}

// Quarantined is an object in quarantine.
type Quarantined struct {
	// Name says what it was: the digest with a '-', or "record-", the kind and the SHA-256 of the key.
	Name string
	// Size in bytes.
	Size int64
	// Since is when it was moved there.
	Since time.Time

	path string
}

// WalkQuarantine calls fn for each object in quarantine, in no particular order. fn's error ends the walk and is returned.
func (s *Store) WalkQuarantine(ctx context.Context, fn func(Quarantined) error) error {
	return s.walk(ctx, "walk quarantine", quarantineDir, func(fi storagedriver.FileInfo) error {
		seconds, name, _ := strings.Cut(path.Base(fi.Path()), "-")
		unix, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return nil // not one of ours
		}
		return fn(Quarantined{Name: name, Size: fi.Size(), Since: time.Unix(unix, 0), path: fi.Path()})
	})
}

// SweepQuarantine removes what was moved to quarantine before limit and returns how much, in bytes, also with an error.
func (s *Store) SweepQuarantine(ctx context.Context, limit time.Time) (removed int64, err error) {
	err = s.WalkQuarantine(ctx, func(q Quarantined) error {
		if !q.Since.Before(limit) {
			return nil
		}
		if err := s.remove(ctx, q.path); err != nil {
			return failedWrite("sweep quarantine", err)
		}
		s.grew(-q.Size)
		removed += q.Size
		return nil
	})
	return removed, err
}
