package chunkstore

import (
	"bytes"
	"context"
	"path"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// SweepUploads removes what killed processes left half written: uploads that have not been written to for olderThan, by the
// backend's clock. Uploads of this process stay, however old. Another replica's writer that stalls for longer loses its
// upload: its Commit fails, and nothing else happens. So olderThan should be hours. It returns how many uploads were
// removed, also with an error.
func (s *Store) SweepUploads(ctx context.Context, olderThan time.Duration) (removed int, err error) {
	const op = "sweep uploads"
	limit := s.now().Add(-olderThan)
	err = s.walk(ctx, op, uploadsDir, func(fi storagedriver.FileInfo) error {
		if fi.ModTime().After(limit) || s.uploads.has(path.Base(fi.Path())) {
			return nil
		}
		if err := s.remove(ctx, fi.Path()); err != nil {
			return failedWrite(op, err)
		}
		removed++
		return nil
	})
	return removed, err
}

// Check reports whether the backend can be used: the store is still there, and a small object can be written, read and
// deleted. It is meant for readiness checks and makes a handful of calls to the backend; a caller that is asked often
// should remember the answer for some seconds.
func (s *Store) Check(ctx context.Context) error {
	const op = "check store"
	if err := s.checkFormat(ctx); err != nil {
		return err
	}
	id := newID()
	s.uploads.add(id)
	defer s.uploads.remove(id)
	probe, want := uploadsDir+"/"+id, []byte(id)
	if err := s.place(ctx, op, probe, want); err != nil {
		return err
	}
	got, readErr := s.read(ctx, op, probe, int64(len(want)))
	if err := s.remove(ctx, probe); err != nil {
		return failedWrite(op, err)
	}
	if readErr != nil {
		return readErr
	}
	if !bytes.Equal(got, want) {
		return reject(op, ErrCorrupt, "a test object came back changed")
	}
	return nil
}
