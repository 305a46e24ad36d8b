package rpmdb

import (
	"encoding/hex"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxFiles bounds the files of one package; the largest real ones have some hundred thousand.
const maxFiles = 2 << 20

// fileTable is a header's parallel arrays about files.
type fileTable struct {
	names stringList
	// dirs is where each directory's name begins in dirNames, and the next one after the last; nil when names are whole
	// paths, as headers before rpm 4 have them.
	dirs     []uint32
	dirNames []byte
	dirOf    intList
	modes    intList
	sizes    intList
	flags    intList
	digests  stringList
	sha256   bool
	buf      []byte // a path
}

// newFileTable reads the outline of a header's files and checks all of them, so that each can be read.
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
		return nil, installed.Damaged("package of %d files, at most %d are read", t.names.left, maxFiles)
	}
	if err := t.readColumns(h); err != nil {
		return nil, err
	}
	check := *t
	return t, check.each(nil)
}

// readDirs reads the directories and which of them each name is in.
func (t *fileTable) readDirs(h *header) error {
	dirs, err := h.texts(tagDirNames)
	if err != nil {
		return err
	}
	if dirs.left > t.names.left || t.names.left > maxFiles {
		return installed.Damaged("%d directories for %d files", dirs.left, t.names.left)
	}
	t.dirs, t.dirNames = make([]uint32, dirs.left+1), dirs.rest
	for i := range dirs.left {
		if _, err = dirs.next(); err != nil {
			return err
		}
		t.dirs[i+1] = uint32(len(t.dirNames) - len(dirs.rest))
	}
	if t.dirOf, err = h.ints(tagDirIndexes); err != nil {
		return err
	}
	if t.dirOf.len() != t.names.left {
		return installed.Damaged("%d directory indexes for %d files", t.dirOf.len(), t.names.left)
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
			return installed.Damaged("tag %d has %d values for %d files", c.tag, l.len(), t.names.left)
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
		return installed.Damaged("%d digests for %d files", n, t.names.left)
	}
	return nil
}

// each reads the files one after another and hands them to take, unless that is nil. It can be called once.
func (t *fileTable) each(take func(*installed.File) error) error {
	var f installed.File
	for i := range t.names.left {
		if err := t.readPath(i); err != nil {
			return err
		}
		var digest []byte
		if t.digests.left > 0 {
			var err error
			if digest, err = t.digests.next(); err != nil {
				return err
			}
		}
		if take == nil {
			continue
		}
		f = installed.File{Path: string(t.buf)}
		f.Digest, f.HasDigest = parseDigest(digest)
		if t.modes.len() > 0 {
			f.Kind = kindOf(t.modes.at(i))
		}
		if t.sizes.len() > 0 {
			f.Size = max(t.sizes.at(i), 0)
		}
		if t.flags.len() > 0 {
			f.Ghost = t.flags.at(i)&flagGhost != 0
		}
		if err := take(&f); err != nil {
			return err
		}
	}
	return nil
}

// readPath puts the i-th path together in t.buf.
func (t *fileTable) readPath(i int) error {
	name, err := t.names.next()
	if err != nil {
		return err
	}
	var dir []byte
	if t.dirOf.len() > 0 {
		d := t.dirOf.at(i)
		if d < 0 || d >= int64(len(t.dirs)-1) {
			return installed.Damaged("file in directory %d of %d", d, len(t.dirs)-1)
		}
		dir = t.dirNames[t.dirs[d] : t.dirs[d+1]-1]
	}
	if n := len(dir) + len(name); n > installed.MaxPath {
		return installed.Damaged("path of %d bytes, at most %d are allowed", n, installed.MaxPath)
	}
	t.buf = append(t.buf[:0], dir...)
	t.buf = append(t.buf, name...)
	return nil
}

// parseDigest decodes a SHA-256; rpm stores an empty string for everything but regular files.
func parseDigest(s []byte) (d tree.Digest, ok bool) {
	if hex.DecodedLen(len(s)) != len(d) {
		return d, false
	}
	_, err := hex.Decode(d[:], s)
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
