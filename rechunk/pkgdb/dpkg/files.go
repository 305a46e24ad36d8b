package dpkg

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// sumsSuffix ends the names of the files that list a package's checksums and, in status.d, its files.
const sumsSuffix = ".md5sums"

// infoFiles hands over the info directory's files about a package: "info/libc6:amd64.list" for the stem "libc6:amd64". It
// reports whether there are any. A nil sink just looks.
func (r *reader) infoFiles(stem string, sink installed.Sink) (bool, error) {
	any := false
	for e := range r.view.Children(r.dir+"/info", stem+".") {
		if e.Path[:strings.LastIndexByte(e.Path, '.')] != e.Path[:strings.LastIndexByte(e.Path, '/')+1]+stem {
			continue // "python3.11.list" is not about python3
		}
		any = true
		if sink == nil {
			break
		}
		if err := sink.File(&installed.File{Path: e.Path, Kind: tree.Regular}); err != nil {
			return any, err
		}
	}
	return any, r.view.Err()
}

// installedFiles hands over what a package of the status file owns: the paths of its list and the database's files about it.
func (r *reader) installedFiles(ctx context.Context, c *control) error {
	stem := c.name + ":" + c.arch
	found, err := r.infoFiles(stem, nil)
	if err != nil {
		return err
	}
	if !found {
		stem = c.name
	}
	listed := false
	err = r.read(ctx, "info/"+stem+".list", maxList, func(list io.Reader) error {
		listed = true
		return parseList(list, func(f *installed.File) error {
			f.Path = r.diverted.path(f.Path, c.name)
			return r.sink.File(f)
		})
	})
	if err != nil {
		return err
	}
	if !listed {
		r.sink.Warn(fmt.Sprintf("%s: package %q has no list of files", r.dir, c.name))
	}
	_, err = r.infoFiles(stem, r.sink)
	return err
}

// summedFiles hands over what a package of status.d owns.
func (r *reader) summedFiles(ctx context.Context, base string) error {
	err := r.read(ctx, base+sumsSuffix, maxList, func(sums io.Reader) error { return parseSums(sums, r.sink.File) })
	if err != nil {
		return err
	}
	for _, name := range []string{base, base + sumsSuffix} {
		if err := r.sink.File(&installed.File{Path: r.dir + "/" + name, Kind: tree.Regular}); err != nil {
			return err
		}
	}
	return nil
}

// parseList hands over the paths of a list file, one on a line. A path that the next one lies below is a directory; of the
// others the list does not tell.
func parseList(list io.Reader, take func(*installed.File) error) error {
	var last installed.File
	known := false
	err := parseLines(list, func(line []byte) error {
		if len(line) == 0 || string(line) == "/." || len(line) > installed.MaxPath {
			return nil
		}
		path := string(line)
		if known {
			if path != last.Path && tree.Within(path, last.Path) {
				last.Kind = tree.Dir
			}
			if err := take(&last); err != nil {
				return err
			}
		}
		last, known = installed.File{Path: path}, true
		return nil
	})
	if err != nil || !known {
		return err
	}
	return take(&last)
}

// parseSums hands over the paths of a checksum file: an MD5, two spaces and a path relative to the root on each line.
func parseSums(sums io.Reader, take func(*installed.File) error) error {
	return parseLines(sums, func(line []byte) error {
		_, path, ok := bytes.Cut(line, []byte("  "))
		if !ok || len(path) == 0 || len(path) > installed.MaxPath {
			return nil
		}
		return take(&installed.File{Path: string(path), Kind: tree.Regular})
	})
}

// parseLines calls do for each line, which is valid only until it returns. Lines of more than maxLine bytes are damage.
func parseLines(r io.Reader, do func(line []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	for lines.Scan() {
		if err := do(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return installed.Damaged("line of more than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	return nil
}
