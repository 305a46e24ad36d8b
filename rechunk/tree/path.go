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

// cleanName turns the name of a tar header into a path of a Tree. Names such as "./a//b/" and "/a/b" are common and mean
// "a/b"; a name with a ".." component is refused, since no honest archiver writes one.
func cleanName(name string, lim Limits) (string, error) {
	if len(name) > lim.Path {
		return "", limitError("path of "+strconv.Itoa(len(name))+" bytes", lim.Path)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", invalid("name with a NUL byte: %q", clip(name))
	}
	depth, isClean := 0, name != ""
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "..":
			return "", invalid("name with a .. component: %q", clip(name))
		case "", ".":
			isClean = false
		default:
			depth++
		}
	}
	if depth > lim.Depth {
		return "", limitError("path with "+strconv.Itoa(depth)+" components", lim.Depth)
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
