package pkgdb

import "strings"

// movedTo returns where a path that a package ships may be instead, the likeliest first: after the merge of / and /usr, and
// after image builders have emptied /etc, /var, /opt and the like (ostree, rpm-ostree, bootc).
func movedTo(p string) []string {
	p = strings.TrimPrefix(p, "/")
	top, rest, ok := strings.Cut(p, "/")
	if !ok {
		return nil
	}
	switch top {
	case "bin", "lib", "lib32", "lib64", "libx32":
		return []string{"usr/" + p}
	case "sbin":
		return []string{"usr/sbin/" + rest, "usr/bin/" + rest}
	case "etc":
		return []string{"usr/etc/" + rest}
	case "boot":
		return []string{"usr/lib/ostree-boot/" + rest}
	case "opt":
		return []string{"var/opt/" + rest, "usr/lib/opt/" + rest}
	case "root":
		return []string{"var/roothome/" + rest}
	case "home", "srv", "mnt":
		return []string{"var/" + p}
	case "var":
		return []string{"usr/share/factory/" + p}
	case "usr":
		return movedInUsr(rest)
	}
	return nil
}

func movedInUsr(p string) []string {
	if rest, ok := strings.CutPrefix(p, "sbin/"); ok {
		return []string{"usr/bin/" + rest}
	}
	if rest, ok := strings.CutPrefix(p, "local/"); ok {
		return []string{"var/usrlocal/" + rest}
	}
	return nil
}
