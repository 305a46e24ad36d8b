package tree

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Difference is one way in which two trees are not the same at a path.
type Difference struct {
	Path string `json:"path"`
	// What names the attribute: "missing", "added", "type", "mode", "owner", "xattrs", "target", "device", "content",
	// "hardlinks" or "mtime".
	What string `json:"what"`
	// A and B are the two values, for people: two different values may look alike if they are very long.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
}

// String is one line for people.
func (d Difference) String() string {
	if d.A == "" && d.B == "" {
		return fmt.Sprintf("%s: %s", oneLine(d.Path), d.What)
	}
	return fmt.Sprintf("%s: %s: %s != %s", oneLine(d.Path), d.What, oneLine(d.A), oneLine(d.B))
}

// oneLine shows outside text, quoted if it could be taken for something else.
func oneLine(s string) string {
	if !legible.Plain(s) || strings.ContainsRune(s, utf8.RuneError) {
		return legible.Line(strconv.Quote(s))
	}
	return s
}

// DiffOptions say what Diff compares.
type DiffOptions struct {
	// Times also compares modification times.
	Times bool
	// Most stops after so many differences; 0 is no limit.
	Most int
	// Each is shown every entry of the second tree, in path order, and must not keep it; nil for nobody.
	Each func(*Entry)
}

// Diff lists how b differs from a, in path order. It is empty when both are the same filesystem: every path, type, mode,
// owner, extended attribute, link target, hardlink group and byte.
func Diff(a, b *Tree, opts DiffOptions) []Difference {
	d := differ{a: a.Entries, opts: opts}
	for i := range b.Entries {
		d.next(&b.Entries[i])
	}
	return d.end()
}

// differ compares entries with others that come in path order.
type differ struct {
	a    []Entry // those that are still to be compared
	opts DiffOptions
	out  []Difference
}

func (d *differ) full() bool { return d.opts.Most > 0 && len(d.out) >= d.opts.Most }

// next compares the next entry.
func (d *differ) next(b *Entry) {
	if d.opts.Each != nil {
		d.opts.Each(b)
	}
	for ; len(d.a) > 0 && !d.full(); d.a = d.a[1:] {
		switch c := ComparePaths(d.a[0].Path, b.Path); {
		case c == 0:
			d.out = compareEntries(d.out, &d.a[0], b, d.opts.Times)
			d.a = d.a[1:]
			return
		case c > 0:
			d.out = append(d.out, Difference{Path: b.Path, What: "added"})
			return
		}
		d.out = append(d.out, Difference{Path: d.a[0].Path, What: "missing"})
	}
	if !d.full() {
		d.out = append(d.out, Difference{Path: b.Path, What: "added"})
	}
}

// end returns what was found.
func (d *differ) end() []Difference {
	for ; len(d.a) > 0 && !d.full(); d.a = d.a[1:] {
		d.out = append(d.out, Difference{Path: d.a[0].Path, What: "missing"})
	}
	if d.opts.Most > 0 && len(d.out) > d.opts.Most {
		d.out = d.out[:d.opts.Most]
	}
	return d.out
}

func compareEntries(out []Difference, a, b *Entry, times bool) []Difference {
	if a.Same(b) && a.Link == b.Link && (!times || a.SameTime(b)) {
		return out
	}
	add := func(what, x, y string) {
		if x != y {
			out = append(out, Difference{a.Path, what, clip(x), clip(y)})
		}
	}
	if a.Kind != b.Kind {
		return append(out, Difference{a.Path, "type", a.Kind.String(), b.Kind.String()})
	}
	add("mode", fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode))
	add("owner", fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
	if !slices.Equal(a.Xattrs, b.Xattrs) {
		out = append(out, Difference{a.Path, "xattrs", showXattrs(a), showXattrs(b)})
	}
	add("target", a.Target, b.Target)
	add("device", fmt.Sprintf("%d:%d", a.Major, a.Minor), fmt.Sprintf("%d:%d", b.Major, b.Minor))
	if a.Digest != b.Digest || a.Size != b.Size {
		add("content", fmt.Sprintf("%d bytes sha256:%s", a.Size, a.Digest),
			fmt.Sprintf("%d bytes sha256:%s", b.Size, b.Digest))
	}
	add("hardlinks", a.Link, b.Link)
	if times && !a.SameTime(b) {
		add("mtime", fmt.Sprintf("%d.%09d", a.Sec, a.Nsec), fmt.Sprintf("%d.%09d", b.Sec, b.Nsec))
	}
	return out
}

func showXattrs(e *Entry) string {
	shown := make([]string, len(e.Xattrs))
	for i, x := range e.Xattrs {
		shown[i] = fmt.Sprintf("%s=%q", oneLine(clip(x.Name)), clip(x.Value))
	}
	return "[" + strings.Join(shown, " ") + "]"
}
