package pkgdb

import "testing"

func TestIsPackageList(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"var/lib/dpkg/status":                                  true,
		"var/lib/dpkg/diversions":                              true,
		"usr/lib/sysimage/dpkg/info/bash.list":                 true,
		"var/lib/dpkg/info/libc6:amd64.list":                   true,
		"var/lib/dpkg/info/bash.postinst":                      false,
		"var/lib/dpkg/status.d/tzdata":                         true,
		"usr/share/doc/bash/changelog.Debian.gz":               true,
		"usr/share/doc/bash/README.gz":                         false,
		"lib/apk/db/installed":                                 true,
		"var/lib/pacman/local/bash-5.2-1/desc":                 true,
		"usr/lib/sysimage/lib/pacman/local/bash-5.2-1/files":   true,
		"var/lib/pacman/local/bash-5.2-1/mtree":                false,
		"usr/lib/sysimage/rpm/rpmdb.sqlite":                    false,
		"opt/x/site-packages/flask-3.1.dist-info/RECORD":       true,
		"opt/x/site-packages/flask-3.1.dist-info/METADATA":     false,
		"usr/lib/node_modules/npm/package.json":                true,
		"usr/lib/node_modules/npm/node_modules/a/package.json": false,
		"usr/lib/x/package.json":                               false,
		"status":                                               false,
	} {
		if got := IsPackageList(path); got != want {
			t.Errorf("IsPackageList(%q) = %t", path, got)
		}
	}
}
