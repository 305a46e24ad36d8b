package rpmdb

import (
	"encoding/hex"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxFiles bounds the files of one package; the largest real ones have some hundred thousand.
const maxFiles = 4 << 20

// fileTable is a header's parallel arrays about files.
type fileTable struct {
	names   stringList
	dirs    []string // nil when names are whole paths, as headers before rpm 4 have them
	dirOf   intList
	modes   intList
	sizes   intList
	flags   intList
	digests stringList
	sha256  bool
}

// decodeFiles appends the header's files to p.Files.
func decodeFiles(h *header, p *installed.Package) error {
	t, err := newFileTable(h)
	if err != nil {
		return err
	}
	for i := range t.names.left {
		f, err := t.file(i)
		if err != nil {
			return err
		}
		p.Files = append(p.Files, f)
	}
	return nil
}

func newFileTable(h *header) (*fileTable, error) {
	t := &fileTable{}
	var err error
	if t.names, err = h.texts(tagBaseNames); err != nil {
		return nil, err
	}
	if t.names.left > 0 {
		err = t.readDirs(h)
	} else {
		t.names, err = h.texts(tagOldFileNames)
	}
	if err != nil {
		return nil, err
	}
	if t.names.left > maxFiles {
		return nil, damaged("package of %d files, at most %d are read", t.names.left, maxFiles)
	}
	return t, t.readColumns(h)
}

// readDirs reads the directories and which of them each name is in.
func (t *fileTable) readDirs(h *header) error {
	dirs, err := h.texts(tagDirNames)
	if err != nil {
		return err
	}
	if dirs.left > t.names.left {
		return damaged("%d directories for %d files", dirs.left, t.names.left)
	}
	t.dirs = make([]string, dirs.left)
	for i := range t.dirs {
		if t.dirs[i], err = dirs.next(); err != nil {
			return err
		}
	}
	if t.dirOf, err = h.ints(tagDirIndexes); err != nil {
		return err
	}
	if t.dirOf.len() != t.names.left {
		return damaged("%d directory indexes for %d files", t.dirOf.len(), t.names.left)
	}
	return nil
}

// readColumns reads the arrays that a header may lack, but which must be complete when it has them.
func (t *fileTable) readColumns(h *header) error {
	for _, c := range []struct {
		tag uint32
		to  *intList
	}{{tagFileModes, &t.modes}, {tagFileSizes, &t.sizes}, {tagLongFileSizes, &t.sizes}, {tagFileFlags, &t.flags}} {
		l, err := h.ints(c.tag)
		if err != nil {
			return err
		}
		if l.len() == 0 {
			continue
		}
		if l.len() != t.names.left {
			return damaged("tag %d has %d values for %d files", c.tag, l.len(), t.names.left)
		}
		*c.to = l
	}
	algo, err := h.ints(tagFileDigestAlgo)
	if err != nil {
		return err
	}
	if t.sha256 = algo.len() > 0 && algo.at(0) == algoSHA256; !t.sha256 {
		return nil
	}
	if t.digests, err = h.texts(tagFileDigests); err != nil {
		return err
	}
	if n := t.digests.left; n != 0 && n != t.names.left {
		return damaged("%d digests for %d files", n, t.names.left)
	}
	return nil
}

// file returns the i-th file; it must be called for ascending i.
func (t *fileTable) file(i int) (f installed.File, err error) {
	if f.Path, err = t.path(i); err != nil {
		return f, err
	}
	if t.modes.len() > 0 {
		f.Kind = kindOf(t.modes.at(i))
	}
	if t.sizes.len() > 0 {
		f.Size = max(t.sizes.at(i), 0)
	}
	if t.flags.len() > 0 {
		f.Ghost = t.flags.at(i)&flagGhost != 0
	}
	if t.digests.left > 0 {
		s, err := t.digests.next()
		if err != nil {
			return f, err
		}
		f.Digest, f.HasDigest = parseDigest(s)
	}
	return f, nil
}

func (t *fileTable) path(i int) (string, error) {
	name, err := t.names.next()
	if err != nil {
		return "", err
	}
	dir := ""
	if t.dirOf.len() > 0 {
		d := t.dirOf.at(i)
		if d < 0 || d >= int64(len(t.dirs)) {
			return "", damaged("file in directory %d of %d", d, len(t.dirs))
		}
		dir = t.dirs[d]
	}
	if len(dir)+len(name) > installed.MaxPath {
		return "", damaged("path of %d bytes, at most %d are allowed", len(dir)+len(name), installed.MaxPath)
	}
	return dir + name, nil
}

// parseDigest decodes a SHA-256; rpm stores an empty string for everything but regular files.
func parseDigest(s string) (d tree.Digest, ok bool) {
	if hex.DecodedLen(len(s)) != len(d) {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err == nil
}

// kindOf translates the type bits of a mode; 0 for none that a tree has.
func kindOf(mode int64) tree.Kind {
	switch mode & 0xf000 {
	case 0x4000:
		return tree.Dir
	case 0x8000:
		return tree.Regular
	case 0xa000:
		return tree.Symlink
	case 0x2000:
		return tree.Char
	case 0x6000:
		return tree.Block
	case 0x1000:
		return tree.Fifo
	}
	return 0
}
