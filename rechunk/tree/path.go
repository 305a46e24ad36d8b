package tree

import (
	"path"
	"strconv"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	// aufsPrefix starts the names of aufs' own bookkeeping files, which are no part of the filesystem.
	aufsPrefix = ".wh..wh."
)

// CleanPath turns the name of a tar header, or the target of a hardlink, into a path of a Tree. Names such as "./a//b/" and
// "/a/b" are common and mean "a/b"; a name with a ".." component is refused, since no honest archiver writes one. The limits
// are lim's as they are, without defaults. Errors wrap ErrInvalid or ErrLimit.
func CleanPath(name string, lim Limits) (string, error) {
	if len(name) > lim.Path {
		return "", OverLimit("path of "+strconv.Itoa(len(name))+" bytes", lim.Path)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", Invalidf("name with a NUL byte: %q", name)
	}
	depth, isClean := 0, name != ""
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "..":
			return "", Invalidf("name with a .. component: %q", name)
		case "", ".":
			isClean = false
		default:
			depth++
		}
	}
	if depth > lim.Depth {
		return "", OverLimit("path with "+strconv.Itoa(depth)+" components", lim.Depth)
	}
	switch {
	case depth == 0:
		return ".", nil
	case isClean:
		return name, nil
	}
	return path.Clean("/" + name)[1:], nil
}

// reservedName reports whether a name has a meaning in layers that keeps it from being an object's name.
func reservedName(name string) bool { return strings.HasPrefix(name, whiteoutPrefix) }

// clip shortens outside text for messages.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// join is path.Join for a clean directory and one name.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// split returns the directory and the last name of a clean path.
func split(p string) (dir, base string) {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i], p[i+1:]
	}
	return ".", p
}
