package tree

import "strings"

// maxID is the largest user, group and device number, as in Linux.
const maxID = 1<<32 - 1

// checkHeader checks the parts of an entry that a layer can set freely; name is for messages.
func checkHeader(e *Entry, name string, lim Limits) error {
	bad := func(what string, value any) error { return Invalidf("%q has the %s %v", name, what, value) }
	switch {
	case e.Kind < Dir || e.Kind > Fifo:
		return bad("kind", uint8(e.Kind))
	case e.Mode > 0o7777:
		return bad("mode", e.Mode)
	case e.UID < 0 || int64(e.UID) > maxID:
		return bad("owner", e.UID)
	case e.GID < 0 || int64(e.GID) > maxID:
		return bad("group", e.GID)
	case e.Nsec < 0 || e.Nsec > 999_999_999:
		return bad("nanoseconds", e.Nsec)
	case e.Size < 0:
		return bad("size", e.Size)
	case min(e.Major, e.Minor) < 0 || max(e.Major, e.Minor) > maxID:
		return Invalidf("%q has the device number %d:%d", name, e.Major, e.Minor)
	case len(e.Target) > lim.Path:
		return OverLimit("bytes of a symlink's target", lim.Path)
	case e.Kind == Symlink && (e.Target == "" || strings.IndexByte(e.Target, 0) >= 0):
		return Invalidf("symlink %q has the target %q", name, e.Target)
	}
	for i, x := range e.Xattrs {
		if x.Name == "" || strings.IndexByte(x.Name, 0) >= 0 {
			return Invalidf("%q has an attribute named %q", name, x.Name)
		}
		if i > 0 && e.Xattrs[i-1].Name >= x.Name {
			return Invalidf("%q has the attribute %q twice or out of order", name, x.Name)
		}
	}
	return nil
}

// validate checks that an index is in the form that its comment promises, so that what is stored can be read again and what
// is read can be trusted as much as what a Builder made.
func (x *Index) validate(lim Limits) error {
	if x.TarSize < 0 {
		return Invalidf("layer of %d bytes", x.TarSize)
	}
	leaders := map[string]int{}
	for i := range x.Entries {
		e := &x.Entries[i]
		if i > 0 && ComparePaths(x.Entries[i-1].Path, e.Path) >= 0 {
			return Invalidf("%q is out of order", e.Path)
		}
		if err := checkPath(e.Path, lim); err != nil {
			return err
		}
		if err := checkHeader(e, e.Path, lim); err != nil {
			return err
		}
		if !e.onlyOwnFields() {
			return Invalidf("%q has what a %s has not", e.Path, e.Kind)
		}
		if e.Link == "" {
			continue
		}
		if e.Link == e.Path {
			leaders[e.Path] = i
		}
		first, ok := leaders[e.Link]
		if !ok || e.Kind == Dir || !e.sameObject(&x.Entries[first]) {
			return Invalidf("%q is no hardlink of %q", e.Path, e.Link)
		}
	}
	for i, l := range x.Links {
		if i > 0 && ComparePaths(x.Links[i-1].Path, l.Path) >= 0 {
			return Invalidf("link %q is out of order", l.Path)
		}
		if err := checkPath(l.Path, lim); err != nil {
			return err
		}
		if clean, err := CleanPath(l.Target, lim); err != nil || clean != l.Target {
			return Invalidf("link %q to %q", l.Path, l.Target)
		}
	}
	if err := checkPaths(lim, x.Whiteouts, x.Opaque); err != nil {
		return err
	}
	return x.validateInline(lim)
}

func checkPaths(lim Limits, lists ...[]string) error {
	for _, list := range lists {
		for i, p := range list {
			if i > 0 && ComparePaths(list[i-1], p) >= 0 {
				return Invalidf("whiteout %q is out of order", p)
			}
			if err := checkPath(p, lim); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPath checks that p is clean and that no component is a whiteout.
func checkPath(p string, lim Limits) error {
	if clean, err := CleanPath(p, lim); err != nil {
		return err
	} else if clean != p || reservedName(p) || strings.Contains(p, "/"+whiteoutPrefix) {
		return Invalidf("path %q", p)
	}
	return nil
}

// onlyOwnFields reports whether the fields that belong to other kinds are zero.
func (e *Entry) onlyOwnFields() bool {
	return (e.Kind == Regular || e.Size == 0 && e.Digest == Digest{}) &&
		(e.Kind == Symlink || e.Target == "") &&
		(e.Kind == Char || e.Kind == Block || e.Major == 0 && e.Minor == 0)
}

// sameObject reports whether two entries can be names of one object.
func (e *Entry) sameObject(o *Entry) bool {
	named := *e
	named.Path = o.Path
	return named.Same(o) && e.SameTime(o)
}

// metaBytes is the length of all names and attributes, each hardlink group's attributes counted once.
func (x *Index) metaBytes() int64 {
	var n int64
	for i := range x.Entries {
		e := &x.Entries[i]
		if n += int64(len(e.Path)); e.Link != "" && e.Link != e.Path {
			continue
		}
		n += int64(len(e.Target))
		for _, a := range e.Xattrs {
			n += int64(len(a.Name) + len(a.Value))
		}
	}
	for _, l := range x.Links {
		n += int64(len(l.Path) + len(l.Target))
	}
	for _, list := range [][]string{x.Whiteouts, x.Opaque} {
		for _, p := range list {
			n += int64(len(p))
		}
	}
	return n
}
