package pkgdb

import "strings"

// churnOf returns the mechanism that writes a path anew in every build, whether a package owns it or not; "" for others.
// The path is below the root; ostree's usr/etc counts as etc.
func churnOf(p string) string {
	p = original(p)
	top, rest, _ := strings.Cut(p, "/")
	switch top {
	case "etc":
		return churnInEtc(rest)
	case "var":
		return churnInVar(rest)
	case "usr":
		return churnInUsr(rest)
	case "lib":
		if strings.HasPrefix(rest, "apk/db/") {
			return "apk"
		}
	case "tmp", "run":
		return "tmp"
	case "nix":
		return below(rest, []mechanism{{"var/log/", "logs"}, {"var/", "nix"}})
	}
	return ""
}

// original undoes ostree's move of /etc, and image builders' of /var.
func original(p string) string {
	if strings.HasPrefix(p, "usr/etc/") {
		return p[len("usr/"):]
	}
	if strings.HasPrefix(p, "usr/share/factory/var/") {
		return p[len("usr/share/factory/"):]
	}
	return p
}

func churnInEtc(p string) string {
	switch p {
	case "passwd", "group", "shadow", "gshadow", "subuid", "subgid", ".pwd.lock",
		"passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-":
		return "accounts"
	case "ld.so.cache":
		return "ld-cache"
	case "machine-id", "hostid", "iscsi/initiatorname.iscsi", "nvme/hostid", "nvme/hostnqn",
		"pki/tls/private/localhost.key", "pki/tls/certs/localhost.crt",
		"ssl/private/ssl-cert-snakeoil.key", "ssl/certs/ssl-cert-snakeoil.pem":
		return "hostkeys"
	}
	if strings.HasPrefix(p, "ssh/ssh_host_") {
		return "hostkeys"
	}
	return ""
}

func churnInUsr(p string) string {
	switch p {
	case "lib/passwd", "lib/group": // nss-altfiles
		return "accounts"
	}
	return below(p, []mechanism{
		{"lib/sysimage/rpm/", "rpmdb"}, {"lib/sysimage/rpm-ostree-base-db/", "rpmdb"}, {"share/rpm/", "rpmdb"},
		{"lib/sysimage/libdnf5/", "history"}, {"lib/apk/db/", "apk"},
		{"lib/sysimage/dpkg/", "dpkg"}, {"share/dpkg/database/", "dpkg"},
		{"lib/sysimage/lib/pacman/local/", "alpm"}, {"lib/sysimage/pacman/local/", "alpm"}, {"lib/pacman/local/", "alpm"},
	})
}

func churnInVar(p string) string {
	if p == "lib/systemd/random-seed" || p == "lib/dbus/machine-id" {
		return "hostkeys"
	}
	return below(p, []mechanism{
		{"lib/rpm/", "rpmdb"}, {"lib/dpkg/", "dpkg"}, {"lib/pacman/local/", "alpm"},
		{"log/", "logs"}, {"tmp/", "tmp"}, {"run/", "tmp"},
		{"lib/dnf/", "history"}, {"lib/yum/", "history"}, {"lib/PackageKit/", "history"},
		{"lib/apt/extended_states", "history"},
		{"lib/rhsm/", "history"}, {"guix/", "guix"},
		{"cache/ldconfig/", "ld-cache"}, {"cache/debconf/", "debconf"},
		{"cache/apt/", "package-cache"}, {"cache/dnf/", "package-cache"}, {"cache/libdnf5/", "package-cache"},
		{"cache/yum/", "package-cache"}, {"cache/zypp/", "package-cache"}, {"cache/pacman/", "package-cache"},
		{"cache/apk/", "package-cache"}, {"cache/PackageKit/", "package-cache"}, {"cache/rpm-ostree/", "package-cache"},
		{"lib/apt/lists/", "package-cache"}, {"lib/pacman/sync/", "package-cache"},
	})
}

// mechanism is what writes the paths that begin with a prefix.
type mechanism struct{ prefix, name string }

// below returns the first mechanism whose prefix p has, or "". In a package manager's directory what a package brought along
// is not churn.
func below(p string, list []mechanism) string {
	for _, m := range list {
		rest, ok := strings.CutPrefix(p, m.prefix)
		if !ok {
			continue
		}
		if m.name == "dpkg" && !dpkgChurns(rest) || m.name == "alpm" && !strings.HasSuffix(rest, "/desc") {
			return ""
		}
		return m.name
	}
	return ""
}

// dpkgChurns reports whether a path below dpkg's directory belongs to no single package.
func dpkgChurns(p string) bool {
	top, _, _ := strings.Cut(p, "/")
	return top != "info" && top != "status.d" && top != "alternatives"
}
