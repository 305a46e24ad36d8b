package treetest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Random makes trees and edits of trees. The same seed and the same calls give the same results. It is not safe for
// concurrent use.
type Random struct {
	// Contents holds the contents of all files of all trees that were made.
	Contents Contents
	// Bootable leaves line breaks out of attributes: images for bootc that have one are not rechunked.
	Bootable bool

	rng   *rand.Rand
	made  int      // objects made so far, for names and contents that do not repeat
	files []string // what Chaos has made for hardlinks to lead to
}

// NewRandom starts a sequence.
func NewRandom(seed uint64) *Random {
	return &Random{Contents: Contents{}, rng: rand.New(rand.NewPCG(seed, 0x7472656574657374))}
}

// Tree makes a tree of about n entries: directories, files, symlinks, devices, hardlinks and extended attributes.
func (r *Random) Tree(n int) *tree.Tree {
	m := newModel()
	for len(m.names) < n {
		r.create(m)
	}
	return m.tree()
}

// Edit returns t after n random edits: objects made, changed, removed, renamed, linked, and replaced by others.
func (r *Random) Edit(t *tree.Tree, n int) *tree.Tree {
	m := modelOf(t)
	for range n {
		if len(m.names) < 2 {
			r.create(m)
			continue
		}
		p := m.pick(r, func(p string, _ *tree.Entry) bool { return p != "." })
		switch r.rng.IntN(10) {
		case 0, 1, 2:
			r.create(m)
		case 3, 4:
			r.change(m.objects[p])
		case 5:
			m.remove(p)
		case 6:
			m.remove(p)
			m.set(p, r.object())
		case 7:
			m.rename(p, r.freeName(m, func(dir string) bool { return !tree.Within(dir, p) }))
		case 8:
			r.link(m)
		case 9:
			// A file of its own takes the place of a hardlink.
			own := *m.objects[p]
			m.set(p, &own)
		}
	}
	return m.tree()
}

// create adds an object or a name of one.
func (r *Random) create(m *model) {
	if r.rng.IntN(12) == 0 {
		r.link(m)
		return
	}
	m.set(r.freeName(m, func(string) bool { return true }), r.object())
}

// link gives a random object, which is no directory, one more name.
func (r *Random) link(m *model) {
	p := m.pick(r, func(_ string, e *tree.Entry) bool { return e.Kind != tree.Dir })
	if p != "" {
		m.set(r.freeName(m, func(string) bool { return true }), m.objects[p])
	}
}

// freeName picks a name that is not taken, in a directory that may be used.
func (r *Random) freeName(m *model, usable func(dir string) bool) string {
	dir := m.pick(r, func(p string, e *tree.Entry) bool { return e.Kind == tree.Dir && usable(p) })
	r.made++
	// A dash sorts before the slash: children of a directory and its neighbours mix in path order.
	name := fmt.Sprintf("%c%d", "abc"[r.rng.IntN(3)], r.made)
	if r.rng.IntN(4) == 0 {
		name = dir[strings.LastIndexByte(dir, '/')+1:] + "-" + name
	}
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

func (r *Random) object() *tree.Entry {
	r.made++
	e := &tree.Entry{Kind: tree.Regular, Mode: 0o644}
	switch r.rng.IntN(20) {
	case 0, 1, 2, 3:
		e.Kind, e.Mode = tree.Dir, 0o755
	case 4, 5:
		e.Kind, e.Mode, e.Target = tree.Symlink, 0o777, fmt.Sprintf("../%d", r.made)
	case 6:
		e.Kind, e.Major, e.Minor = tree.Char, int64(r.rng.IntN(300)), int64(r.rng.IntN(300))
	case 7:
		e.Kind = tree.Fifo
	default:
		r.fill(e)
	}
	r.change(e)
	return e
}

// fill gives a file a content; some files are empty and some are equal.
func (r *Random) fill(e *tree.Entry) {
	body := ""
	if n := r.rng.IntN(10); n > 0 {
		body = strings.Repeat(fmt.Sprintf("%d %d\n", n, r.rng.IntN(1+r.made)), 1+r.rng.IntN(50*n))
	}
	e.Size, e.Digest = int64(len(body)), r.Contents.Add(body)
}

// change alters one attribute of an object.
func (r *Random) change(e *tree.Entry) {
	switch r.rng.IntN(6) {
	case 0:
		if e.Kind != tree.Symlink {
			e.Mode = uint32(r.rng.IntN(0o10000))
		}
	case 1:
		e.UID, e.GID = r.rng.IntN(70000), r.rng.IntN(70000)
	case 2:
		e.Xattrs = nil
		if e.Kind == tree.Dir || e.Kind == tree.Regular {
			e.Xattrs = r.xattrs(e.Kind)
		}
	case 3:
		e.Sec, e.Nsec = int64(r.rng.IntN(2_000_000_000)-100_000_000), int32(r.rng.IntN(1_000_000_000))
	default:
		if e.Kind == tree.Regular {
			r.fill(e)
		}
	}
}

// xattrs are such that Linux accepts them.
func (r *Random) xattrs(k tree.Kind) []tree.Xattr {
	var out []tree.Xattr
	if k == tree.Regular {
		capability := make([]byte, 20)
		capability[0], capability[3], capability[5] = 1, 2, byte(r.rng.IntN(256))
		if r.Bootable && capability[5] == '\n' {
			capability[5]++
		}
		out = append(out, tree.Xattr{Name: "security.capability", Value: string(capability)})
	}
	for _, name := range []string{"user.a", "user.b"} {
		if r.rng.IntN(2) == 0 {
			out = append(out, tree.Xattr{Name: name, Value: fmt.Sprint("\x00", r.rng.IntN(100))})
		}
	}
	return out
}
