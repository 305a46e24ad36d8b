package pkgdb

import "strings"

// IsPackageList reports whether a path looks like one of the many small files in which dpkg, apk, alpm, pip and npm keep
// what is installed, changelogs included. Read opens them for every image, so that it pays to keep their contents at hand.
// The rpm database is not among them: it is large, and differs in every image anyway.
func IsPackageList(path string) bool {
	dir, base := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, base = path[:i], path[i+1:]
	}
	switch {
	case strings.HasSuffix(dir, "/dpkg/info"):
		return strings.HasSuffix(base, ".list")
	case strings.HasSuffix(dir, "/dpkg"):
		return base == "status" || base == "diversions"
	case strings.HasSuffix(dir, "/dpkg/status.d"), strings.HasSuffix(dir, "apk/db"):
		return true
	case strings.HasPrefix(dir, "usr/share/doc/"):
		return strings.HasPrefix(base, "changelog") && strings.HasSuffix(base, ".gz")
	case strings.Contains(dir, "pacman/local/"):
		return base == "desc" || base == "files"
	case strings.HasSuffix(dir, ".dist-info"):
		return base == "RECORD"
	case base == "package.json":
		return strings.Count(dir, "node_modules/") == 1
	}
	return false
}
