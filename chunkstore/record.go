package chunkstore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// GetRecord returns a record, or ErrNotFound. It may be as old as Options.RecordTTL when another process has changed it. The
// bytes are shared with other callers and must not be changed.
func (s *Store) GetRecord(ctx context.Context, kind, key string) ([]byte, error) {
	return s.GetRecordWithin(ctx, kind, key, s.recordTTL)
}

// GetRecordWithin is GetRecord for those who may be answered from memory with what was read from the backend no longer than
// age ago, in place of Options.RecordTTL. 0 asks the backend.
func (s *Store) GetRecordWithin(ctx context.Context, kind, key string, age time.Duration) ([]byte, error) {
	at, now := cacheKey{kind: kind, name: key}, s.now()
	if age > 0 {
		if b, ok := s.cache.get(at, now.Add(-age)); ok {
			return b, nil
		}
	}
	file, err := fileOf(kind, key)
	if err != nil {
		return nil, err
	}
	op, epoch := recordOp("get", kind, key), s.cache.epoch(at)
	b, err := s.read(ctx, op, file.path, int64(len(file.header)+MaxRecordBytes))
	if err != nil {
		return nil, err
	}
	b, ok := bytes.CutPrefix(b, []byte(file.header))
	if !ok {
		return nil, reject(op, ErrCorrupt, "it does not begin with its key")
	}
	if age > 0 {
		s.cache.put(at, b, now, epoch)
	}
	return b, nil
}

// PutRecord stores a record of at most MaxRecordBytes, in place of the one under the same key. A reader sees the old one or
// the new one; when PutRecord returns nil, the new one is durable. After an error it may be either.
//
// A kind is a lower-case letter followed by letters, digits and '-', 32 bytes at most. A key is any string of 1 to
// MaxKeyBytes bytes.
func (s *Store) PutRecord(ctx context.Context, kind, key string, b []byte) error {
	file, err := fileOf(kind, key)
	if err != nil {
		return err
	}
	op := recordOp("put", kind, key)
	if len(b) > MaxRecordBytes {
		return tooLarge(op, MaxRecordBytes)
	}
	if file.header != "" {
		b = append([]byte(file.header), b...)
	}
	defer s.recordChanged(kind, key)
	return s.place(ctx, op, file.path, b)
}

// DeleteRecord removes a record. Deleting what is not there is a success.
func (s *Store) DeleteRecord(ctx context.Context, kind, key string) error {
	file, err := fileOf(kind, key)
	if err != nil {
		return err
	}
	op := recordOp("delete", kind, key)
	defer s.recordChanged(kind, key)
	if err := s.driver.Delete(ctx, file.path); err != nil {
		if anyCause(causes(err), isNotFound) {
			return nil
		}
		return failedWrite(op, err)
	}
	return failedWrite(op, s.dirs.placed(file.path))
}

// WalkRecords calls fn for each record of a kind, in ascending byte order of the keys, with the time of its last change by
// the backend's clock. The list is complete before fn is first called, so that fn may change records; what others change
// meanwhile may or may not be seen. fn's error ends the walk and is returned as it is.
func (s *Store) WalkRecords(ctx context.Context, kind string, fn func(key string, modified time.Time) error) error {
	return s.WalkRecordsPrefix(ctx, kind, "", fn)
}

// WalkRecordsPrefix is WalkRecords for the records whose keys begin with prefix. The backend is asked about no others: on S3
// the listing begins and ends with them; a filesystem is asked for the names in one directory, and for the properties of
// these alone.
func (s *Store) WalkRecordsPrefix(ctx context.Context, kind, prefix string,
	fn func(key string, modified time.Time) error) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	found, err := s.listRecords(ctx, kind, prefix)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b listed) int { return cmp.Compare(a.key, b.key) })
	for _, r := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(r.key, r.modified); err != nil {
			return err
		}
	}
	return nil
}

type listed struct {
	key      string
	modified time.Time
}

// errBeyond ends a walk behind the last name that is wanted.
var errBeyond = errors.New("beyond the prefix")

func (s *Store) listRecords(ctx context.Context, kind, prefix string) ([]listed, error) {
	var found []listed
	op, dir := "list records of kind "+kind, recordsDir+"/"+kind
	begin := dir + "/" + namesBegin(prefix)
	err := s.walkFrom(ctx, op, dir, begin, func(fi storagedriver.FileInfo) error {
		if !strings.HasPrefix(fi.Path(), begin) {
			if fi.Path() < begin {
				return nil
			}
			return errBeyond
		}
		r, ok, err := s.listed(ctx, kind, dir, fi)
		if err == nil && ok && strings.HasPrefix(r.key, prefix) {
			found = append(found, r)
		}
		return err
	})
	if errors.Is(err, errBeyond) {
		err = nil
	}
	return found, err
}

// listed finds out which record lies in a file; ok is false for one that is none.
func (s *Store) listed(ctx context.Context, kind, dir string, fi storagedriver.FileInfo) (_ listed, ok bool, err error) {
	if path.Dir(fi.Path()) != dir {
		return listed{}, false, nil
	}
	key, long, ok := parseName(path.Base(fi.Path()))
	if ok && long {
		key, err = s.readKey(ctx, kind, fi.Path())
		if errors.Is(err, ErrNotFound) {
			return listed{}, false, nil // deleted since it was listed
		}
	}
	return listed{key, fi.ModTime()}, ok, err
}

// readKey reads the key of a record whose name does not tell it.
func (s *Store) readKey(ctx context.Context, kind, at string) (string, error) {
	op := "list records of kind " + kind
	rc, err := s.driver.Reader(ctx, at, 0)
	if err != nil {
		return "", failed(op, err)
	}
	defer rc.Close()
	// One byte of a key takes three at most when escaped.
	line, err := bufio.NewReaderSize(rc, 3*MaxKeyBytes+1).ReadSlice('\n')
	if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
		return "", reject(op, ErrCorrupt, fmt.Sprintf("%s does not begin with a line that holds its key", at))
	}
	if err != nil {
		return "", failed(op, err)
	}
	key, err := unescapeKey(strings.TrimSuffix(string(line), "\n"))
	if err != nil {
		return "", reject(op, ErrCorrupt, fmt.Sprintf("%s does not begin with a key", at))
	}
	if file, err := fileOf(kind, key); err != nil || file.path != at {
		return "", reject(op, ErrCorrupt, fmt.Sprintf("%s holds the record of another key", at))
	}
	return key, nil
}

// RecordKinds lists the kinds of which there are, or were, records, sorted.
func (s *Store) RecordKinds(ctx context.Context) ([]string, error) {
	found, err := s.driver.List(ctx, recordsDir)
	if err != nil {
		if anyCause(causes(err), isNotFound) {
			return nil, nil
		}
		return nil, failed("list the kinds of records", err)
	}
	var kinds []string
	for _, p := range found {
		if kind := path.Base(p); checkKind(kind) == nil {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds, nil
}

func recordOp(verb, kind, key string) string {
	return fmt.Sprintf("%s record %s %q", verb, kind, clip(key))
}
