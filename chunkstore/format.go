package chunkstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
)

const (
	formatName    = "strata-store"
	formatVersion = 1
	// maxFormatBytes bounds the marker file.
	maxFormatBytes = 4 << 10
)

// format is the marker file of docs/store.md.
type format struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// openFormat checks the marker, and writes it where there is no data yet.
func (s *Store) openFormat(ctx context.Context) (begun bool, err error) {
	err = s.checkFormat(ctx)
	if !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if err := s.checkFresh(ctx); err != nil {
		return false, err
	}
	b, err := json.Marshal(format{Format: formatName, Version: formatVersion})
	if err != nil {
		return false, fmt.Errorf("begin store: %w", err)
	}
	return true, s.place(ctx, "begin store", formatPath, append(b, '\n'))
}

// checkFormat reads the marker.
func (s *Store) checkFormat(ctx context.Context) error {
	const op = "open store"
	b, err := s.read(ctx, op+": "+formatPath, formatPath, maxFormatBytes)
	if err != nil {
		return err
	}
	var f format
	if err := json.Unmarshal(b, &f); err != nil || f.Format != formatName {
		return reject(op, ErrFormat, fmt.Sprintf("%s says %q", formatPath, clip(string(b))))
	}
	if f.Version > formatVersion {
		return reject(op, ErrFormat, fmt.Sprintf("a later strata made it, which writes version %d, and this one reads up to %d: use "+
			"that strata or a newer one; nothing was changed", f.Version, formatVersion))
	}
	if f.Version != formatVersion {
		return reject(op, ErrFormat, fmt.Sprintf("it has version %d, this program reads %d", f.Version, formatVersion))
	}
	return nil
}

// checkFresh refuses to begin a store beside data of unknown origin. Uploads may be there: the marker itself begins as one.
func (s *Store) checkFresh(ctx context.Context) error {
	const op = "begin store"
	found, err := s.driver.List(ctx, rootDir)
	if err != nil {
		if anyCause(causes(err), isNotFound) {
			return nil
		}
		return failed(op, err)
	}
	for _, p := range found {
		if path.Base(p) != path.Base(uploadsDir) && path.Base(p) != path.Base(formatPath) {
			return reject(op, ErrFormat, fmt.Sprintf("there is data (%s) but no %s; is the right directory or bucket given, and "+
				"its volume mounted?", clip(p), formatPath))
		}
	}
	return nil
}
