package dpkg

import (
	"fmt"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// diversions say where paths go when another package than the diverting one ships them (dpkg-divert).
type diversions map[string]diversion

type diversion struct {
	to string
	// by is the package that keeps the original path, ":" for the administrator, who leaves it to nobody.
	by string
}

// path returns where a package's file really is.
func (d diversions) path(p, pkg string) string {
	if to, ok := d[p]; ok && to.by != pkg {
		return to.to
	}
	return p
}

// parseDiversions reads the diversions file: three lines each, from, to and by whom.
func parseDiversions(text []byte) (diversions, error) {
	if len(text) == 0 {
		return nil, nil
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines)%3 != 0 {
		return nil, fmt.Errorf("%w: diversions of %d lines, not a multiple of three", installed.ErrDamaged, len(lines))
	}
	d := make(diversions, len(lines)/3)
	for ; len(lines) > 0; lines = lines[3:] {
		if len(lines[0]) > installed.MaxPath || len(lines[1]) > installed.MaxPath {
			return nil, fmt.Errorf("%w: diversion with a path of more than %d bytes", installed.ErrDamaged, installed.MaxPath)
		}
		d[lines[0]] = diversion{to: lines[1], by: lines[2]}
	}
	return d, nil
}
