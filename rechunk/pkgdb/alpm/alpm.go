// Package alpm reads pacman's local package database: a directory for each package with the files desc and files.
package alpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	// maxDesc, maxFiles and maxConf bound the files that are read, in bytes. The longest real files list has 10 MB.
	maxDesc  = 256 << 10
	maxFiles = 64 << 20
	maxConf  = 1 << 20
	// maxLine is the longest line of them.
	maxLine = 64 << 10
)

// Dirs returns the directories where distributions keep the local database.
func Dirs() []string {
	return []string{
		"var/lib/pacman/local", "usr/lib/sysimage/lib/pacman/local", "usr/lib/sysimage/pacman/local", "usr/lib/pacman/local",
	}
}

// Read hands the packages of the first alpm database in v to s; without a database it does nothing. A package whose files
// are damaged is skipped with a warning. The directory that etc/pacman.conf names comes first.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	configured, err := configuredDir(ctx, v)
	if err != nil {
		return err
	}
	for _, dir := range append(configured, Dirs()...) {
		packages := 0
		for e := range v.Children(dir, "") {
			if err := ctx.Err(); err != nil {
				return err
			}
			if e.Kind != tree.Dir {
				continue
			}
			packages++
			if err := readPackage(ctx, v, e.Path, s); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		if packages > 0 {
			break
		}
	}
	return v.Err()
}

// configuredDir returns the local database below the last DBPath of pacman's configuration, if that sets one.
func configuredDir(ctx context.Context, v *rootfs.View) ([]string, error) {
	for _, p := range []string{"etc/pacman.conf", "usr/etc/pacman.conf"} {
		text, err := v.ReadFile(ctx, p, maxConf)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, rootfs.ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if dir := parseConf(string(text)); dir != "" {
			return []string{dir + "/local"}, nil
		}
	}
	return nil, nil
}

// parseConf returns the value of the last DBPath in a pacman.conf, or "".
func parseConf(text string) string {
	dir := ""
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(line, "=")
		if ok && strings.TrimSpace(key) == "DBPath" && len(value) <= installed.MaxPath {
			dir = strings.TrimRight(strings.TrimSpace(value), "/")
		}
	}
	return dir
}

// readPackage reads one package and hands it over.
func readPackage(ctx context.Context, v *rootfs.View, dir string, s installed.Sink) error {
	p, err := readDesc(ctx, v, dir+"/desc")
	var list io.ReadCloser
	if err == nil {
		list, err = v.Text(ctx, dir+"/files", maxFiles)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, rootfs.ErrTooLarge), errors.Is(err, installed.ErrDamaged):
		s.Warn(fmt.Sprintf("%s: %v", dir, err))
		return nil
	case err != nil:
		return err
	}
	defer list.Close()
	if err := s.Package(p); err != nil {
		return err
	}
	if err := parseFiles(list, s.File); errors.Is(err, installed.ErrDamaged) {
		s.Warn(fmt.Sprintf("%s: %v", dir, err))
	} else if err != nil {
		return err
	}
	// desc holds the time of installation, so it is new in every build; the others come from the package.
	for _, name := range []string{"files", "mtree", "install", "changelog"} {
		if err := s.File(&installed.File{Path: dir + "/" + name, Kind: tree.Regular}); err != nil {
			return err
		}
	}
	return nil
}

// readDesc reads what a package is.
func readDesc(ctx context.Context, v *rootfs.View, file string) (*installed.Package, error) {
	r, err := v.Text(ctx, file, maxDesc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return parseDesc(r)
}

// parseDesc makes a package of its desc.
func parseDesc(desc io.Reader) (*installed.Package, error) {
	p := &installed.Package{}
	err := sections(desc, func(section, value []byte) error {
		switch string(section) {
		case "NAME":
			p.Name = name(value)
		case "BASE":
			p.Source = name(value)
		case "VERSION":
			p.Version = name(value)
			p.Own = p.Version
		case "ARCH":
			p.Arch = name(value)
		case "BUILDDATE":
			// A build time that is no number is as good as none.
			if t, err := strconv.ParseInt(string(value), 10, 64); err == nil && t > 0 {
				p.BuildTime = t
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if p.Source == "" {
		p.Source = p.Name
	}
	return p, p.Check()
}

// name returns as much of a value as a name may have, and one byte more for Check.
func name(value []byte) string { return string(value[:min(len(value), installed.MaxName+1)]) }

// parseFiles hands over the paths of a package's files.
func parseFiles(list io.Reader, take func(*installed.File) error) error {
	return sections(list, func(section, value []byte) error {
		if string(section) != "FILES" || len(value) > installed.MaxPath {
			return nil
		}
		f := installed.File{Path: string(value)}
		if strings.HasSuffix(f.Path, "/") {
			f.Path, f.Kind = strings.TrimRight(f.Path, "/"), tree.Dir
		}
		return take(&f)
	})
}
