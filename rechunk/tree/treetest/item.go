// Package treetest makes layers, trees and series of trees for tests.
//
// Layers are written header by header (File, Dir, Whiteout, …; Tar, Gzip, Zstd), so that a test says exactly what an archive
// holds and in which order. Random makes trees and edits of them from a seed, and the layers that lead from one to the next.
// Reference flattens layers in the plainest possible way, as a second opinion on tree.Flatten.
package treetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"time"
)

// Item is one header of a layer and the content that follows it. Methods return changed copies.
type Item struct {
	tar.Header
	Body string
}

// epoch is the modification time of items that set none.
var epoch = time.Unix(1_700_000_000, 0)

func item(typeflag byte, name string, mode int64) Item {
	return Item{Header: tar.Header{Typeflag: typeflag, Name: name, Mode: mode, ModTime: epoch}}
}

// File is a regular file with mode 0644.
func File(name, body string) Item {
	i := item(tar.TypeReg, name, 0o644)
	i.Size, i.Body = int64(len(body)), body
	return i
}

// Dir is a directory with mode 0755.
func Dir(name string) Item { return item(tar.TypeDir, name, 0o755) }

// Symlink is a symbolic link with mode 0777.
func Symlink(name, target string) Item {
	i := item(tar.TypeSymlink, name, 0o777)
	i.Linkname = target
	return i
}

// Hardlink is a hardlink to a name of this or a lower layer.
func Hardlink(name, target string) Item {
	i := item(tar.TypeLink, name, 0o644)
	i.Linkname = target
	return i
}

// Char is a character device with mode 0600.
func Char(name string, major, minor int64) Item {
	i := item(tar.TypeChar, name, 0o600)
	i.Devmajor, i.Devminor = major, minor
	return i
}

// Block is a block device with mode 0600.
func Block(name string, major, minor int64) Item {
	i := item(tar.TypeBlock, name, 0o600)
	i.Devmajor, i.Devminor = major, minor
	return i
}

// Fifo is a named pipe with mode 0600.
func Fifo(name string) Item { return item(tar.TypeFifo, name, 0o600) }

// Whiteout hides a path of lower layers.
func Whiteout(p string) Item {
	dir, base := path.Split(p)
	return item(tar.TypeReg, dir+".wh."+base, 0o644)
}

// Opaque hides what lower layers hold in a directory.
func Opaque(dir string) Item { return item(tar.TypeReg, path.Join(dir, ".wh..wh..opq"), 0o644) }

// WithMode sets the permissions and the setuid, setgid and sticky bits (07777).
func (i Item) WithMode(mode int64) Item {
	i.Header.Mode = mode
	return i
}

// WithOwner sets the user and group.
func (i Item) WithOwner(uid, gid int) Item {
	i.Uid, i.Gid = uid, gid
	return i
}

// WithTime sets the modification time, which takes a pax header if it has a fraction of a second.
func (i Item) WithTime(t time.Time) Item {
	i.ModTime = t
	return i
}

// WithXattr sets an extended attribute, written as star does.
func (i Item) WithXattr(name, value string) Item { return i.WithPAX("SCHILY.xattr."+name, value) }

// WithPAX adds a record to the item's pax header.
func (i Item) WithPAX(key, value string) Item {
	i.PAXRecords = maps.Clone(i.PAXRecords)
	if i.PAXRecords == nil {
		i.PAXRecords = map[string]string{}
	}
	i.PAXRecords[key] = value
	return i
}

// GNU writes the item with GNU's headers instead of pax.
func GNU(i Item) Item {
	i.Format = tar.FormatGNU
	return i
}

// ManyFiles is a layer such as a distribution's: directories of some dozen small files.
func ManyFiles(n, size int) []Item {
	items := []Item{Dir(".")}
	for i := range n {
		if i%30 == 0 {
			items = append(items, Dir(fmt.Sprintf("usr/lib/package-%d", i/30)))
		}
		body := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), size/8)
		items = append(items, File(fmt.Sprintf("usr/lib/package-%d/file-%d", i/30, i), string(body)))
	}
	return items
}
