// Package python reads what Python's installers, pip and its like, record of a distribution: NAME-VERSION.dist-info/RECORD.
package python

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxRecord is the longest RECORD that is read, in bytes; the longest real ones have 2 MB.
const maxRecord = 32 << 20

// Read hands the distributions that lie anywhere in v to s, in the order of the tree, each with the files that its RECORD
// lists (PyPA's specification "Recording installed projects"). One that is damaged is skipped from there on, with a warning.
// Compiled files without a digest are ghosts: each host may make them.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	for e := range v.Entries() {
		dir, isRecord := strings.CutSuffix(e.Path, ".dist-info/RECORD")
		if !isRecord || e.Kind != tree.Regular {
			continue
		}
		err := readOne(ctx, v, e.Path, dir, s)
		if errors.Is(err, installed.ErrDamaged) || errors.Is(err, rootfs.ErrTooLarge) {
			s.Warn(fmt.Sprintf("%s: %v", e.Path, err))
		} else if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return v.Err()
}

// readOne hands over one distribution; dir is its directory without the suffix, DIR/NAME-VERSION.
func readOne(ctx context.Context, v *rootfs.View, record, dir string, s installed.Sink) (err error) {
	site, base := path.Split(dir)
	name, version, _ := strings.Cut(base, "-")
	p := &installed.Package{Name: name, Source: normalized(name), Version: version, Own: version}
	if err := p.Check(); err != nil {
		return err
	}
	r, err := v.Text(ctx, record, maxRecord)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := s.Package(p); err != nil {
		return err
	}
	return parse(r, site, s.File)
}

// normalized is a project's name as the index of packages compares it (PEP 503).
func normalized(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	return strings.Join(words, "-")
}

// parse gives the files of a RECORD: lines of a path, absolute or relative to the directory that the distribution lies in, a
// digest and a size, of which the last two may be empty.
func parse(r io.Reader, site string, file func(*installed.File) error) error {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord, lines.ReuseRecord = -1, true
	for {
		fields, err := lines.Read()
		var wrong *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &wrong):
			return installed.Damaged("%v", wrong)
		case err != nil:
			return err
		}
		if len(fields) == 0 || fields[0] == "" || len(site)+len(fields[0]) > installed.MaxPath {
			return installed.Damaged("line with %d fields and no path of 1 to %d bytes", len(fields), installed.MaxPath)
		}
		if err := file(fileOf(site, fields)); err != nil {
			return err
		}
	}
}

func fileOf(site string, fields []string) *installed.File {
	f := &installed.File{Path: fields[0]}
	if !strings.HasPrefix(f.Path, "/") {
		f.Path = path.Join("/", site, f.Path)
	}
	if len(fields) > 1 {
		f.Digest, f.HasDigest = digestOf(fields[1])
	}
	if len(fields) > 2 {
		if size, err := strconv.ParseInt(fields[2], 10, 64); err == nil && size > 0 {
			f.Size = size
		}
	}
	f.Ghost = !f.HasDigest && strings.HasSuffix(f.Path, ".pyc")
	return f
}

// digestOf is a digest as RECORD writes it: the algorithm, "=", and base64 for URLs without padding. Others than SHA-256 are
// as good as none.
func digestOf(s string) (d tree.Digest, ok bool) {
	encoded, ok := strings.CutPrefix(s, "sha256=")
	if !ok {
		return d, false
	}
	sum, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(sum) != len(d) {
		return d, false
	}
	copy(d[:], sum)
	return d, true
}
