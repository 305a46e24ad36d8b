package tree

import (
	"cmp"
	"encoding/hex"
	"path"
	"slices"
	"strings"
)

// Digest is the SHA-256 of a regular file's content.
type Digest [32]byte

// String returns the lower-case hexadecimal form, without an algorithm prefix.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Kind is the type of a filesystem object.
type Kind uint8

// The kinds of entry that an OCI layer can carry. A hardlink is not a kind: every name of a hardlinked object is an entry
// of the object's kind, and Entry.Link tells which entries share it.
const (
	Dir Kind = iota + 1
	Regular
	Symlink
	Char
	Block
	Fifo
)

// String returns the kind's name as used in messages and JSON.
func (k Kind) String() string {
	switch k {
	case Dir:
		return "directory"
	case Regular:
		return "file"
	case Symlink:
		return "symlink"
	case Char:
		return "character device"
	case Block:
		return "block device"
	case Fifo:
		return "fifo"
	}
	return "unknown"
}

// Xattr is one extended attribute: its full name ("security.capability") and its raw value.
type Xattr struct {
	Name  string
	Value string
}

// Entry is one path of a tree: its header and, for a regular file, the size and digest of its content.
type Entry struct {
	// Path is relative to the root, slash-separated and clean; the root itself is ".". It is not necessarily UTF-8.
	Path string
	Kind Kind
	// Mode holds the twelve bits of permission, setuid, setgid and sticky (07777).
	Mode uint32
	UID  int
	GID  int
	// Xattrs are sorted by name; names are unique.
	Xattrs []Xattr
	// Target is a symlink's target, verbatim.
	Target string
	// Major and Minor are a device's numbers.
	Major, Minor int64
	// Sec and Nsec are the modification time since the Unix epoch. They do not take part in Same.
	Sec  int64
	Nsec int32
	// Size is the length of a regular file's content in bytes.
	Size int64
	// Digest is that content's SHA-256.
	Digest Digest
	// Link names the hardlink group: the path of the group's first member in path order. It is empty for an object with
	// one name. All members of a group have equal headers and content.
	Link string
}

// Same reports whether two entries have equal headers and content. The modification time and the hardlink group are not
// looked at: the first churns in rebuilds, the second is a property of several entries.
func (e *Entry) Same(o *Entry) bool {
	return e.Path == o.Path && e.Kind == o.Kind && e.Mode == o.Mode && e.UID == o.UID && e.GID == o.GID &&
		e.Target == o.Target && e.Major == o.Major && e.Minor == o.Minor && e.Size == o.Size && e.Digest == o.Digest &&
		slices.Equal(e.Xattrs, o.Xattrs)
}

// SameTime reports whether two entries have the same modification time, to the nanosecond.
func (e *Entry) SameTime(o *Entry) bool { return e.Sec == o.Sec && e.Nsec == o.Nsec }

// Xattr returns the value of the named attribute and whether it is set.
func (e *Entry) Xattr(name string) (string, bool) {
	i, ok := slices.BinarySearchFunc(e.Xattrs, name, func(x Xattr, n string) int { return cmp.Compare(x.Name, n) })
	if !ok {
		return "", false
	}
	return e.Xattrs[i].Value, true
}

// Parent returns the path of the directory that holds p; the root's parent is the root.
func Parent(p string) string { return path.Dir(p) }

// Within reports whether p is dir or lies below it.
func Within(p, dir string) bool {
	return dir == "." || p == dir || (strings.HasPrefix(p, dir) && len(p) > len(dir) && p[len(dir)] == '/')
}
