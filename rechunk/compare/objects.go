package compare

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/tree"
)

// objectDifferences lists where an encapsulated image's commit and its layers are two filesystems: what hosts on ostree get,
// and what containers see. Every object's checksum is worked out anew. It is empty for an image that was
// not made here in ostree's form.
func objectDifferences(ctx context.Context, image *rechunk.Inspection) ([]tree.Difference, error) {
	if !ofObjects(image) {
		return nil, nil
	}
	c := &objects{seen: map[string]bool{}, sound: map[string]*tree.Entry{}}
	c.commit = commit{source: image, served: image, contents: image.Contents(ctx), objects: map[string]*tree.Entry{},
		known: map[tree.Digest]map[string]string{}, theirs: map[string]bool{}, removed: map[string]bool{}}
	c.list()
	label := image.Image.Config.Config.Labels["ostree.commit"]
	if len(c.theirs)+len(c.removed) > 0 {
		return nil, nil // what lies above a commit is not in it
	}
	parts, err := c.metadata(label, "commit", "(a{sv}aya(say)sstayay)")
	if err != nil {
		return nil, err
	}
	if err := c.tree(".", hex.EncodeToString(parts[6]), hex.EncodeToString(parts[7])); err != nil {
		return nil, err
	}
	for i := range image.Tree.Entries {
		e := &image.Tree.Entries[i]
		top, below, _ := strings.Cut(e.Path, "/")
		if boot := slices.Contains([]string{"run", "tmp", "proc", "sys", "dev"}, top); !c.seen[e.Path] &&
			(!boot || below == "") && e.Path != "sysroot" {
			c.differ(e.Path, "not in the commit", e.Kind.String())
		}
	}
	slices.SortFunc(c.out, func(a, b tree.Difference) int { return tree.ComparePaths(a.Path, b.Path) })
	return c.out, nil
}

// objects is a commit on its way through objectDifferences.
type objects struct {
	commit
	seen  map[string]bool        // paths in the commit
	sound map[string]*tree.Entry // objects of files that are what they are called
	depth int
}

func (c *objects) differ(path, a, b string) {
	c.out = append(c.out, tree.Difference{Path: path, What: "ostree", A: a, B: b})
}

// metadata reads an object that is called by the SHA-256 of its bytes.
func (c *objects) metadata(sum, kind, typ string) ([][]byte, error) {
	name := repository + c.object(sum) + "." + kind
	if e := c.objects[name]; e != nil && e.Digest.String() != sum {
		return nil, fmt.Errorf("%w: %s is another object, %s", errVariant, name, e.Digest)
	}
	return c.read(name, typ)
}

// tree checks a directory, and what is in it.
func (c *objects) tree(path, contents, meta string) error {
	c.depth++
	defer func() { c.depth-- }()
	if c.seen[path] || c.depth > 512 {
		return fmt.Errorf("%w: the directory %q is twice in the commit, or too deep", errVariant, path)
	}
	c.seen[path] = true
	m, err := c.metadata(meta, "dirmeta", "(uuua(ayay))")
	if err != nil {
		return err
	}
	e := c.source.Tree.Lookup(path)
	got := header(m[0], m[1], m[2])
	if want := entryHeader(e, 0o040000); e == nil || e.Kind != tree.Dir || got != want {
		c.differ(path, got, want)
		if e == nil || e.Kind != tree.Dir {
			return nil
		}
	}
	parts, err := c.metadata(contents, "dirtree", "(a(say)a(sayay))")
	if err != nil {
		return err
	}
	files, err := split("a(say)", parts[0])
	if err != nil {
		return err
	}
	for _, f := range files {
		m, err := split("(say)", f)
		if err == nil {
			err = c.fileAt(c.path(path, m[0]), hex.EncodeToString(m[1]))
		}
		if err != nil {
			return err
		}
	}
	dirs, err := split("a(sayay)", parts[1])
	if err != nil {
		return err
	}
	for _, d := range dirs {
		m, err := split("(sayay)", d)
		if err == nil {
			err = c.tree(c.path(path, m[0]), hex.EncodeToString(m[1]), hex.EncodeToString(m[2]))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// header puts owner, group and mode in words, each four bytes, big-endian.
func header(uid, gid, mode []byte) string {
	number := func(b []byte) uint32 {
		if len(b) != 4 {
			return 0
		}
		return binary.BigEndian.Uint32(b)
	}
	return fmt.Sprintf("%d:%d %o", number(uid), number(gid), number(mode))
}

func entryHeader(e *tree.Entry, typ uint32) string {
	if e == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d:%d %o", e.UID, e.GID, typ|e.Mode)
}

// fileAt checks a file of the commit, and that the layers have the same at its path.
func (c *objects) fileAt(path, sum string) error {
	c.seen[path] = true
	o, err := c.file(sum)
	if err != nil {
		return err
	}
	e := c.source.Tree.Lookup(path)
	switch {
	case o == nil:
		c.differ(path, "an object that is not there, or not what it is called", sum)
	case e == nil:
		c.differ(path, "object "+sum, "nothing")
	case e.Kind != o.Kind || e.UID != o.UID || e.GID != o.GID || e.Kind == tree.Regular && e.Mode != o.Mode ||
		e.Target != o.Target || e.Size != o.Size || e.Digest != o.Digest:
		c.differ(path, "object "+sum, entryHeader(e, 0)+" "+e.Digest.String())
	}
	return nil
}

// file is the object of a file if its checksum is right: that of owner, group, mode, target and attributes, and then of the
// content.
func (c *objects) file(sum string) (*tree.Entry, error) {
	if o, known := c.sound[sum]; known {
		return o, nil
	}
	c.sound[sum] = nil
	o := c.objects[repository+c.object(sum)+".file"]
	attrs := c.objects[repository+c.object(sum)+".file-xattrs-link"]
	if attrs == nil {
		attrs = c.objects[repository+c.object(sum)+".file-xattrs"]
	}
	if o == nil || attrs == nil || attrs.Size > maxCommitObject {
		return nil, nil
	}
	list, err := c.content(attrs)
	if err != nil {
		return nil, err
	}
	mode := 0o100000 | o.Mode
	if o.Kind == tree.Symlink {
		mode = 0o120777
	}
	var b []byte
	for _, n := range []uint32{uint32(o.UID), uint32(o.GID), mode, 0} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = append(append(b, o.Target...), 0)
	end := binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
	b = append(b, list...)
	switch n := len(b); {
	case n+1 <= 1<<8-1:
		b = append(b, end[:1]...)
	case n+2 <= 1<<16-1:
		b = append(b, end[:2]...)
	default:
		b = append(b, end...)
	}
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))<<32))
	h.Write(b)
	if o.Kind == tree.Regular && o.Size > 0 {
		r, err := c.contents.Open(o.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", o.Path, err)
		}
		defer r.Close()
		if _, err := io.Copy(h, r); err != nil {
			return nil, fmt.Errorf("reading %s: %w", o.Path, err)
		}
	}
	if hex.EncodeToString(h.Sum(nil)) == sum {
		c.sound[sum] = o
	}
	return c.sound[sum], nil
}

// content reads a small object.
func (c *objects) content(e *tree.Entry) ([]byte, error) {
	r, err := c.contents.Open(e.Digest)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxCommitObject))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", e.Path, err)
	}
	return b, nil
}
