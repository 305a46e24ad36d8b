// Package alpm reads pacman's local package database: a directory for each package with the files desc and files.
package alpm

import (
	"context"
	"errors"
	"fmt"
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
	// maxPackages bounds the packages of a database.
	maxPackages = 1 << 16
)

// Dirs returns the directories where distributions keep the local database.
func Dirs() []string {
	return []string{"var/lib/pacman/local", "usr/lib/sysimage/lib/pacman/local", "usr/lib/sysimage/pacman/local", "usr/lib/pacman/local"}
}

// Read hands the packages of the first alpm database in v to s; without a database it does nothing. A package whose files are
// damaged is skipped with a warning. The directory that etc/pacman.conf names comes first.
func Read(ctx context.Context, v *rootfs.View, s installed.Sink) error {
	configured, err := configuredDir(v)
	if err != nil {
		return err
	}
	for _, dir := range append(configured, Dirs()...) {
		packages := 0
		for _, e := range v.Children(dir) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if e.Kind != tree.Dir {
				continue
			}
			if packages++; packages > maxPackages {
				return fmt.Errorf("%s: %w: more than %d packages", dir, installed.ErrDamaged, maxPackages)
			}
			if err := readPackage(v, e.Path, s); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		if packages > 0 {
			return nil
		}
	}
	return nil
}

// configuredDir returns the local database below the last DBPath of pacman's configuration, if that sets one.
func configuredDir(v *rootfs.View) ([]string, error) {
	for _, p := range []string{"etc/pacman.conf", "usr/etc/pacman.conf"} {
		text, err := v.ReadFile(p, maxConf)
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
		if ok && strings.TrimSpace(key) == "DBPath" {
			dir = strings.TrimRight(strings.TrimSpace(value), "/")
		}
	}
	return dir
}

// readPackage reads one package and hands it over.
func readPackage(v *rootfs.View, dir string, s installed.Sink) error {
	desc, err := v.ReadFile(dir+"/desc", maxDesc)
	var list []byte
	if err == nil {
		list, err = v.ReadFile(dir+"/files", maxFiles)
	}
	var p *installed.Package
	if err == nil {
		p, err = parsePackage(string(desc), string(list))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, rootfs.ErrTooLarge), errors.Is(err, installed.ErrDamaged):
		s.Warn(fmt.Sprintf("%s: %v", dir, err))
		return nil
	case err != nil:
		return err
	}
	// desc holds the time of installation, so it is new in every build; the others come from the package.
	for _, name := range []string{"files", "mtree", "install", "changelog"} {
		p.Files = append(p.Files, installed.File{Path: dir + "/" + name, Kind: tree.Regular})
	}
	return s.Package(p)
}

// parsePackage makes a package of its desc and files.
func parsePackage(desc, list string) (*installed.Package, error) {
	p := &installed.Package{}
	for section, value := range values(desc) {
		switch section {
		case "NAME":
			p.Name = value
		case "BASE":
			p.Source = value
		case "VERSION":
			p.Version = value
		case "BUILDDATE":
			// A build time that is no number is as good as none.
			if t, err := strconv.ParseInt(value, 10, 64); err == nil && t > 0 {
				p.BuildTime = t
			}
		}
	}
	if p.Source == "" {
		p.Source = p.Name
	}
	if p.Name == "" || max(len(p.Name), len(p.Source), len(p.Version)) > installed.MaxName {
		return nil, fmt.Errorf("%w: package with a name of %d bytes", installed.ErrDamaged, len(p.Name))
	}
	for section, value := range values(list) {
		if section != "FILES" || len(value) > installed.MaxPath {
			continue
		}
		f := installed.File{Path: value}
		if strings.HasSuffix(value, "/") {
			f.Path, f.Kind = strings.TrimRight(value, "/"), tree.Dir
		}
		p.Files = append(p.Files, f)
	}
	return p, nil
}
