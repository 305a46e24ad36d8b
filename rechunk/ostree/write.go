package ostree

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/tree"
)

// ErrUnfit marks a tree that ostree cannot keep.
var ErrUnfit = errors.New("ostree cannot keep this")

// labelName is the attribute that SELinux keeps a file's label in.
const labelName = "security.selinux"

// File types in modes, of stat(2).
const (
	typeDir     = 0o040000
	typeRegular = 0o100000
	typeSymlink = 0o120000
)

// Attributes serialises the extended attributes of an object as ostree has them, a(ayay): sorted by name, the label in place
// of one that is there. An empty label changes nothing.
func Attributes(x []tree.Xattr, label string) []byte {
	if label != "" {
		x = slices.DeleteFunc(slices.Clone(x), func(a tree.Xattr) bool { return a.Name == labelName })
		at, _ := slices.BinarySearchFunc(x, labelName,
			func(a tree.Xattr, n string) int { return strings.Compare(a.Name, n) })
		x = slices.Insert(x, at, tree.Xattr{Name: labelName, Value: label + "\x00"})
	}
	return xattrsValue(x).bytes
}

// NewHash begins the checksum of the object of a file or symlink, of which the attributes are serialised: what is written to
// it is the file's content. An entry of another kind, or with an owner that has no place, is an error that wraps ErrUnfit.
func NewHash(e *tree.Entry, attributes []byte) (hash.Hash, error) {
	mode, target := uint32(0), ""
	switch e.Kind {
	case tree.Regular:
		mode = typeRegular | e.Mode
	case tree.Symlink:
		mode, target = typeSymlink|0o777, e.Target
	default:
		return nil, fmt.Errorf("%w: %q is a %s", ErrUnfit, e.Path, e.Kind)
	}
	uid, gid, err := owner(e)
	if err != nil {
		return nil, err
	}
	header := tuple(number(uid), number(gid), number(mode), number(0), text(target), raw(attributes)).bytes
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(header))))
	h.Write(make([]byte, 4))
	h.Write(header)
	return h, nil
}

func owner(e *tree.Entry) (uid, gid uint32, err error) {
	for _, n := range []int{e.UID, e.GID} {
		if n < 0 || uint64(n) > math.MaxUint32 {
			return 0, 0, fmt.Errorf("%w: %q belongs to %d:%d", ErrUnfit, e.Path, e.UID, e.GID)
		}
	}
	return uint32(e.UID), uint32(e.GID), nil
}

// Files says what a commit is to hold at the positions of a tree's entries.
type Files interface {
	// Object returns the checksum of the object of a file or symlink.
	Object(i int) Checksum
	// Attributes returns the serialised attributes of a directory.
	Attributes(i int) []byte
}

// Commit is what a commit says besides its tree.
type Commit struct {
	// Metadata is a{sv}, in this order.
	Metadata []Metadata
	Subject  string
	// Timestamp is in seconds since the Unix epoch.
	Timestamp uint64
}

// Metadata is one value of a commit's metadata: of type b where Text is empty, and true, else of type s.
type Metadata struct{ Key, Text string }

// Object is a metadata object of a repository.
type Object struct {
	Sum  Checksum
	Kind string // "commit", "dirtree", "dirmeta"
	Data []byte
}

// Path is where an encapsulated image has the object.
func (o *Object) Path() string { return objectPath(o.Sum, o.Kind) }

// ObjectPath is where an encapsulated image has the object of a file or symlink, and AttributesPath where it has the
// object's attributes.
func ObjectPath(sum Checksum) string { return objectPath(sum, "file") }

// AttributesPath is described at ObjectPath.
func AttributesPath(sum Checksum) string { return objectPath(sum, "file-xattrs-link") }

// String returns the lower-case hexadecimal form.
func (c Checksum) String() string { return hex.EncodeToString(c[:]) }

// Objects makes the metadata objects of a commit of a tree, each once: the commit, the root's dirmeta, its dirtree, then
// those of the directories below it, depth first. /etc is /usr/etc, as ostree has it. The files are the ones that InCommit
// says. Errors wrap ErrUnfit.
func (c Commit) Objects(t *tree.Tree, files Files) ([]Object, error) {
	b := &builder{tree: t, files: files, below: map[string][]int{}}
	if err := b.list(); err != nil {
		return nil, err
	}
	root, ok := t.Find(".")
	sysroot := t.Lookup("sysroot")
	if !ok || t.Entries[root].Kind != tree.Dir || sysroot != nil && sysroot.Kind != tree.Dir {
		return nil, fmt.Errorf("%w: the root or /sysroot is no directory", ErrUnfit)
	}
	top, err := b.directory(root)
	if err != nil {
		return nil, err
	}
	entries := make([]value, len(c.Metadata))
	for i, m := range c.Metadata {
		v := variant("b", truth(true))
		if m.Text != "" {
			v = variant("s", text(m.Text))
		}
		entries[i] = tuple(text(m.Key), v)
	}
	b.add("commit", tuple(array(8, entries...), raw(nil), array(1), text(c.Subject), text(""), moment(c.Timestamp),
		raw(top.contents[:]), raw(top.meta[:])))
	slices.Reverse(b.out)
	known := map[Checksum]bool{}
	return slices.DeleteFunc(b.out, func(o Object) bool {
		twice := known[o.Sum]
		known[o.Sum] = true
		return twice
	}), nil
}

// InCommit reports whether a path of an image is part of the commit that a client makes of it: what lies in directories that
// are filled at boot is not.
func InCommit(p string) bool {
	top, below, _ := strings.Cut(p, "/")
	return below == "" || !slices.Contains([]string{"run", "tmp", "proc", "sys", "dev"}, top)
}

// builder makes the objects of directories: those of a directory after those of what is in it.
type builder struct {
	tree  *tree.Tree
	files Files
	below map[string][]int // positions of what a directory holds, by its path
	out   []Object
}

// add makes an object.
func (b *builder) add(kind string, v value) Checksum {
	sum := Checksum(sha256.Sum256(v.bytes))
	b.out = append(b.out, Object{sum, kind, v.bytes})
	return sum
}

// directory makes the objects of a directory. The tree's depth, which is bounded, bounds the recursion.
func (b *builder) directory(i int) (directory, error) {
	e := &b.tree.Entries[i]
	var files, dirs []value
	below := b.below[e.Path]
	slices.SortFunc(below, func(x, y int) int {
		return strings.Compare(path.Base(b.tree.Entries[x].Path), path.Base(b.tree.Entries[y].Path))
	})
	for _, k := range below {
		name := text(path.Base(b.tree.Entries[k].Path))
		if b.tree.Entries[k].Kind != tree.Dir {
			sum := b.files.Object(k)
			files = append(files, tuple(name, raw(sum[:])))
			continue
		}
		d, err := b.directory(k)
		if err != nil {
			return directory{}, err
		}
		dirs = append(dirs, tuple(name, raw(d.contents[:]), raw(d.meta[:])))
	}
	uid, gid, err := owner(e)
	if err != nil {
		return directory{}, err
	}
	var d directory
	d.contents = b.add("dirtree", tuple(array(1, files...), array(1, dirs...)))
	d.meta = b.add("dirmeta", tuple(number(uid), number(gid), number(typeDir|e.Mode), raw(b.files.Attributes(i))))
	if n := len(b.out[len(b.out)-2].Data); n > maxDirtree {
		return directory{}, fmt.Errorf("%w: %q has an object of %d bytes, at most %d are read", ErrUnfit, e.Path, n,
			maxDirtree)
	}
	return d, nil
}

// maxDirtree is what clients read of one metadata object, in bytes (ostree-ext, MAX_METADATA_SIZE).
const maxDirtree = 10 << 20

// list sorts the entries into their directories.
func (b *builder) list() error {
	for i := range b.tree.Entries {
		e := &b.tree.Entries[i]
		if e.Path == "." || !InCommit(e.Path) {
			continue
		}
		dir := tree.Parent(e.Path)
		switch {
		case !utf8.ValidString(e.Path):
			return fmt.Errorf("%w: the name %.200q is not UTF-8", ErrUnfit, e.Path)
		case e.Path == "usr/etc" && b.tree.Lookup("etc") != nil:
			return fmt.Errorf("%w: there are /etc and /usr/etc, where ostree keeps /etc", ErrUnfit)
		case e.Path == "etc":
			dir = "usr"
			if usr := b.tree.Lookup(dir); usr == nil || usr.Kind != tree.Dir {
				return fmt.Errorf("%w: there is no /usr for /etc to go to", ErrUnfit)
			}
		}
		b.below[dir] = append(b.below[dir], i)
	}
	return nil
}
