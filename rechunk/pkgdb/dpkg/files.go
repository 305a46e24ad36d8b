package dpkg

import (
	"fmt"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// sumsSuffix ends the names of the files that list a package's checksums and, in status.d, its files.
const sumsSuffix = ".md5sums"

// infoFiles returns the paths in the info directory by the package that they are about: "libc6:amd64" for
// info/libc6:amd64.list.
func (r *reader) infoFiles() map[string][]string {
	files := map[string][]string{}
	for _, e := range r.view.Children(r.dir + "/info") {
		name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
		if dot := strings.LastIndexByte(name, '.'); dot > 0 {
			files[name[:dot]] = append(files[name[:dot]], e.Path)
		}
	}
	return files
}

// installedFiles appends what a package of the status file owns: the paths of its list and the database's files about it.
func (r *reader) installedFiles(p *installed.Package, c *control) error {
	stem := c.name + ":" + c.arch
	if len(r.info[stem]) == 0 {
		stem = c.name
	}
	list, err := r.read("info/"+stem+".list", maxList)
	if err != nil {
		return err
	}
	if list == nil {
		r.sink.Warn(fmt.Sprintf("%s: package %q has no list of files", r.dir, c.name))
	}
	p.Files = parseList(string(list), p.Files)
	for i := range p.Files {
		p.Files[i].Path = r.diverted.path(p.Files[i].Path, c.name)
	}
	for _, path := range r.info[stem] {
		p.Files = append(p.Files, installed.File{Path: path, Kind: tree.Regular})
	}
	return nil
}

// summedFiles appends what a package of status.d owns.
func (r *reader) summedFiles(p *installed.Package, base string) error {
	sums, err := r.read(base+sumsSuffix, maxList)
	if err != nil {
		return err
	}
	p.Files = parseSums(string(sums), p.Files)
	for _, name := range []string{base, base + sumsSuffix} {
		p.Files = append(p.Files, installed.File{Path: r.dir + "/" + name, Kind: tree.Regular})
	}
	return nil
}

// parseList appends the paths of a list file, one on a line. A path that the next one lies below is a directory; of the others
// the list does not tell.
func parseList(text string, files []installed.File) []installed.File {
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line == "/." || len(line) > installed.MaxPath {
			continue
		}
		if n := len(files); n > 0 && line != files[n-1].Path && tree.Within(line, files[n-1].Path) {
			files[n-1].Kind = tree.Dir
		}
		files = append(files, installed.File{Path: line})
	}
	return files
}

// parseSums appends the paths of a checksum file: an MD5, two spaces and a path relative to the root on each line.
func parseSums(text string, files []installed.File) []installed.File {
	for line := range strings.SplitSeq(text, "\n") {
		_, path, ok := strings.Cut(line, "  ")
		if ok && path != "" && len(path) <= installed.MaxPath {
			files = append(files, installed.File{Path: path, Kind: tree.Regular})
		}
	}
	return files
}
