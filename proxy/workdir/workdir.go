// Package workdir keeps directories with temporary files in order. The files have no name while they are in use; those that
// killed processes left with one are removed by the first process that claims the directory afterwards.
package workdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/edge/scratch"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/scan"
)

// Patterns returns the names of all temporary files, in the form of os.CreateTemp: each * stands for a decimal number. Every
// room that makes some says how it names them; those that earlier versions made come last.
func Patterns() []string {
	return []string{
		scan.TempPattern, rpmdb.TempPattern, flight.TempPattern, scratch.TempPattern, upkeep.TempPattern, upkeep.SortPattern,
		"spool-*", "rpmdb-*", "strata-download-*", "needed-*", "htpasswd-*",
	}
}

// Claim claims a directory, as claim.Directory does. When no other process uses it, what killed ones left in it is removed,
// and alone is called, which may be nil. Files of others are left: what is removed is a regular file that none but its owner
// may read whose name is one that Patterns gives.
func Claim(dir string, alone func() error) (*claim.Claim, error) {
	return claim.Directory(dir, func() error {
		if err := sweep(dir); err != nil {
			return fmt.Errorf("removing temporary files of killed processes: %w", err)
		}
		if alone == nil {
			return nil
		}
		return alone()
	})
}

// sweep removes temporary files.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	problems := []error{err}
	for _, e := range entries {
		if !temporary(e.Name()) {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Mode()&^0o600 == 0 { // of a regular file, no type is set
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func temporary(name string) bool {
	for _, pattern := range Patterns() {
		if matches(name, pattern) {
			return true
		}
	}
	return false
}

// matches reports whether a name is a pattern with a decimal number for each *.
func matches(name, pattern string) bool {
	text, pattern, star := strings.Cut(pattern, "*")
	name, ok := strings.CutPrefix(name, text)
	if !ok || !star {
		return ok && name == ""
	}
	rest := strings.TrimLeft(name, "0123456789")
	return rest != name && matches(rest, pattern)
}
