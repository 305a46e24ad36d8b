package dpkg

import (
	"io"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

const (
	// maxDiversions bounds the diversions file in bytes. A desktop's has 200 lines.
	maxDiversions = 4 << 20
	// maxDiverted bounds the diversions in it.
	maxDiverted = 1 << 14
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
func parseDiversions(r io.Reader) (diversions, error) {
	d := diversions{}
	var three [3]string
	n := 0
	err := parseLines(r, func(line []byte) error {
		limit := installed.MaxPath
		if n == 2 {
			limit = installed.MaxName
		}
		if len(line) > limit {
			return installed.Damaged("line of %d bytes in a diversion, at most %d are allowed", len(line), limit)
		}
		three[n] = string(line)
		if n++; n < len(three) {
			return nil
		}
		if n = 0; len(d) >= maxDiverted {
			return installed.Damaged("more than %d diversions", maxDiverted)
		}
		d[three[0]] = diversion{to: three[1], by: three[2]}
		return nil
	})
	if err == nil && n != 0 {
		err = installed.Damaged("the last diversion has %d lines, not three", n)
	}
	return d, err
}
