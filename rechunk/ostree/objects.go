package ostree

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Checksum names an object: the SHA-256 of what it is in ostree.
type Checksum [32]byte

// directory is what a commit, or the directory above, says of a directory.
type directory struct {
	contents Checksum // dirtree
	meta     Checksum // dirmeta
}

// file and child are what a directory holds.
type (
	file struct {
		name   string
		object Checksum
	}
	child struct {
		name string
		directory
	}
)

// dirmetaHeader is what comes before the attributes of a directory in (uuua(ayay)), in bytes: owner, group, mode.
const dirmetaHeader = 12

// objectPath is where an encapsulated image has an object.
func objectPath(sum Checksum, kind string) string {
	name := hex.EncodeToString(sum[:])
	return objectsDir + name[:2] + "/" + name[2:] + "." + kind
}

// objectOf tells which object a path is that of.
func objectOf(path string) (sum Checksum, kind string, ok bool) {
	rest, ok := strings.CutPrefix(path, objectsDir)
	if !ok || len(rest) < 2*len(sum)+2 || rest[2] != '/' {
		return sum, "", false
	}
	name, kind, ok := strings.Cut(rest[:2]+rest[3:], ".")
	if !ok || len(name) != 2*len(sum) {
		return sum, "", false
	}
	_, err := hex.Decode(sum[:], []byte(name))
	return sum, kind, err == nil
}

// FileObject tells which object of a file or symlink a path of an encapsulated image is that of.
func FileObject(path string) (sum Checksum, ok bool) {
	sum, kind, ok := objectOf(path)
	return sum, ok && kind == "file"
}

// IsCommit reports whether a path of an encapsulated image is that of a commit.
func IsCommit(path string) bool {
	_, kind, ok := objectOf(path)
	return ok && kind == "commit"
}

// AttributesObject tells which object of a file or symlink a path of an encapsulated image has the attributes of.
func AttributesObject(path string) (sum Checksum, ok bool) {
	sum, kind, ok := objectOf(path)
	return sum, ok && kind == "file-xattrs-link"
}

// parseCommit finds the root directory in a commit object, (a{sv}aya(say)sstayay): the last two of its members, each 32
// bytes, before the ends of the six others whose length varies, the first of which comes last.
func parseCommit(b []byte) (*directory, error) {
	w := gvariantWidth(len(b))
	table := len(b) - 6*w
	if table < 2*len(Checksum{}) || gvariantOffset(b[table:table+w]) != table-len(Checksum{}) {
		return nil, tree.Invalidf("commit object of %d bytes", len(b))
	}
	return &directory{Checksum(b[table-64 : table-32]), Checksum(b[table-32 : table])}, nil
}

// parseDirtree decodes a dirtree object, (a(say)a(sayay)): files, then directories, each in ascending order.
func parseDirtree(b []byte) ([]file, []child, error) {
	w := gvariantWidth(len(b))
	if len(b) < w {
		return nil, nil, tree.Invalidf("dirtree object of %d bytes", len(b))
	}
	end := gvariantOffset(b[len(b)-w:])
	if end > len(b)-w {
		return nil, nil, tree.Invalidf("dirtree object of %d bytes has files up to %d", len(b), end)
	}
	var files []file
	err := parseNames(b[:end], 1, func(name string, sums []Checksum) { files = append(files, file{name, sums[0]}) })
	if err != nil {
		return nil, nil, err
	}
	var dirs []child
	err = parseNames(b[end:len(b)-w], 2, func(name string, sums []Checksum) {
		dirs = append(dirs, child{name, directory{sums[0], sums[1]}})
	})
	return files, dirs, err
}

// parseNames decodes an array of tuples of a name and n checksums. Names ascend, as ostree writes them, so that each is
// there once.
func parseNames(b []byte, n int, found func(name string, sums []Checksum)) error {
	ends, err := gvariantEnds(b)
	if err != nil {
		return err
	}
	start, last := 0, ""
	for _, end := range ends {
		if end < start {
			return tree.Invalidf("dirtree: element from %d to %d", start, end)
		}
		e := b[start:end]
		start = end
		w := gvariantWidth(len(e))
		table := len(e) - n*w
		first := table - n*len(Checksum{}) // where the name ends
		if first < 2 || gvariantOffset(e[len(e)-w:]) != first || bytes.IndexByte(e[:first], 0) != first-1 ||
			n == 2 && gvariantOffset(e[table:table+w]) != table-len(Checksum{}) {
			return tree.Invalidf("dirtree: element of %d bytes", len(e))
		}
		name := string(e[:first-1])
		if name == "." || name == ".." || strings.Contains(name, "/") || name <= last {
			return tree.Invalidf("dirtree: name %q after %q", name, last)
		}
		last = name
		sums := make([]Checksum, n)
		for k := range sums {
			sums[k] = Checksum(e[first+k*32:])
		}
		found(name, sums)
	}
	return nil
}

// contains reports whether a path is in an ascending list.
func contains(list []string, path string) bool {
	_, ok := slices.BinarySearchFunc(list, path, tree.ComparePaths)
	return ok
}
