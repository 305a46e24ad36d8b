package alpm

import (
	"bufio"
	"errors"
	"io"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// sections calls do for the lines of a file of pacman's database with the section that each is in, both valid until it
// returns. A section is a line "%NAME%", values one on a line and an empty line.
func sections(r io.Reader, do func(section, value []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	var section []byte
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case len(line) == 0:
			section = section[:0]
		case len(section) == 0 && len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%':
			section = append(section, line[1:len(line)-1]...)
		case len(section) > 0:
			if err := do(section, line); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return installed.Damaged("line of more than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	return nil
}
