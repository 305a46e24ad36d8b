package demo

// release is one version of the demo's operating system.
type release struct {
	tag string
	// change says in a few words what is new.
	change string
	// built is when, in Unix seconds: a naive build stamps every file with it.
	built int64
	// updates are the new versions of source packages.
	updates map[string]string
}

// releases returns the series, oldest first.
func releases() []release {
	return []release{
		{"1", "first version", 1762149600, nil},
		{"2", "3 security updates", 1762754400, map[string]string{
			"openssl": "3.5.1-1+deb13u1", "curl": "8.14.1-2+deb13u2", "gnutls28": "3.8.9-3+deb13u1",
		}},
		{"3", "rebuild, no updates", 1763359200, nil},
		{"4", "new kernel, 5 packages", 1763964000, map[string]string{
			"linux": "6.12.63-1", "glibc": "2.41-13", "systemd": "257.10-1", "podman": "5.4.2-2", "python3.13": "3.13.6-1",
			"tzdata": "2025c-0+deb13u1",
		}},
	}
}

// pack describes a source package and its one binary package: how many files of each sort, and how large together.
type pack struct {
	source, name, version string
	programs, libraries   int
	binaryKiB             int64
	data                  int
	dataKiB               int64
	// special adds what the numbers cannot say.
	special special
}

// special names a package whose files are peculiar.
type special uint8

const (
	plain special = iota
	kernel
	firmware
	zones   // many small files, hardlinked aliases
	scripts // text in a library directory
	units   // service descriptions
	aliased // a program with a second name, hardlinked
	capable // a program with a file capability
)

// packages returns the first version's packages.
func packages() []pack {
	return []pack{
		{"acl", "libacl1", "2.3.2-2", 0, 1, 40, 2, 8, plain},
		{"apt", "apt", "3.0.3", 8, 3, 3400, 40, 500, plain},
		{"attr", "libattr1", "1:2.5.2-3", 0, 1, 28, 2, 6, plain},
		{"audit", "libaudit1", "1:4.0.2-2", 2, 2, 260, 6, 40, plain},
		{"bash", "bash", "5.2.37-2", 2, 0, 1250, 40, 700, plain},
		{"bootc", "bootc", "1.8.0-1", 1, 0, 7800, 12, 120, units},
		{"btrfs-progs", "btrfs-progs", "6.14-1", 10, 2, 2100, 12, 180, plain},
		{"ca-certificates", "ca-certificates", "20250419", 1, 0, 20, 142, 240, plain},
		{"coreutils", "coreutils", "9.7-3", 96, 1, 6400, 30, 600, plain},
		{"cryptsetup", "libcryptsetup12", "2:2.7.5-2", 2, 1, 900, 18, 220, plain},
		{"curl", "libcurl4", "8.14.1-2", 1, 1, 1150, 4, 60, plain},
		{"dbus", "dbus", "1.16.2-2", 5, 1, 820, 16, 90, units},
		{"dracut", "dracut", "106-6", 4, 0, 320, 130, 640, scripts},
		{"e2fsprogs", "e2fsprogs", "1.47.2-3", 12, 4, 1900, 14, 260, plain},
		{"findutils", "findutils", "4.10.0-3", 3, 0, 620, 6, 120, plain},
		{"firmware-nonfree", "firmware-misc", "20250410-2", 0, 0, 0, 60, 7400, firmware},
		{"gcc-14", "libstdc++6", "14.2.0-19", 0, 4, 3300, 4, 40, plain},
		{"glib2.0", "libglib2.0-0t64", "2.84.4-3", 3, 5, 3700, 24, 300, plain},
		{"glibc", "libc6", "2.41-12", 24, 18, 7600, 60, 1900, plain},
		{"gnupg2", "gpg", "2.4.7-21", 9, 0, 3100, 18, 500, plain},
		{"gnutls28", "libgnutls30t64", "3.8.9-3", 0, 2, 2300, 4, 60, plain},
		{"grep", "grep", "3.11-4", 3, 0, 300, 4, 70, plain},
		{"iproute2", "iproute2", "6.15.0-1", 14, 0, 2700, 20, 160, plain},
		{"iputils", "iputils-ping", "3:20240905-3", 1, 0, 90, 3, 20, capable},
		{"krb5", "libkrb5-3", "1.21.3-5", 0, 6, 1500, 8, 40, plain},
		{"kmod", "kmod", "34.2-2", 1, 1, 280, 6, 20, plain},
		{"less", "less", "668-1", 3, 0, 300, 3, 40, plain},
		{"libseccomp", "libseccomp2", "2.6.0-2", 0, 1, 170, 2, 8, plain},
		{"linux", "linux-image", "6.12.57-1", 0, 0, 0, 140, 5600, kernel},
		{"lvm2", "libdevmapper1.02.1", "2:1.02.205-2", 2, 2, 800, 6, 60, units},
		{"ncurses", "libtinfo6", "6.5+20250216-2", 6, 2, 640, 60, 90, plain},
		{"network-manager", "network-manager", "1.52.1-1", 5, 3, 5200, 50, 900, units},
		{"openssh", "openssh-server", "1:10.0p1-7", 7, 0, 2700, 20, 300, units},
		{"openssl", "libssl3t64", "3.5.1-1", 1, 5, 6700, 10, 160, plain},
		{"ostree", "ostree", "2025.2-1", 1, 1, 1300, 12, 90, units},
		{"pam", "libpam-modules", "1.7.0-5", 6, 50, 1100, 24, 120, plain},
		{"pcre2", "libpcre2-8-0", "10.45-1", 0, 1, 700, 2, 10, plain},
		{"perl", "perl-base", "5.40.1-6", 3, 2, 4200, 190, 2600, aliased},
		{"podman", "podman", "5.4.2-1", 3, 0, 12600, 22, 320, units},
		{"procps", "procps", "2:4.0.4-9", 14, 1, 700, 20, 220, plain},
		{"python3.13", "libpython3.13-stdlib", "3.13.5-2", 2, 44, 5200, 540, 7200, scripts},
		{"readline", "libreadline8t64", "8.2-6", 0, 2, 380, 2, 12, plain},
		{"sed", "sed", "4.9-2", 1, 0, 130, 4, 60, plain},
		{"selinux-policy", "selinux-policy-default", "2:2.20250213-2", 0, 0, 0, 210, 3200, plain},
		{"shadow", "passwd", "1:4.17.4-2", 18, 0, 1100, 60, 500, plain},
		{"sqlite3", "libsqlite3-0", "3.46.1-7", 0, 1, 1700, 2, 8, plain},
		{"sudo", "sudo", "1.9.16p2-3", 4, 6, 2300, 20, 320, plain},
		{"systemd", "systemd", "257.9-1", 60, 8, 9800, 420, 2300, units},
		{"tar", "tar", "1.35+dfsg-3", 1, 0, 480, 6, 260, plain},
		{"tzdata", "tzdata", "2025b-4", 0, 0, 0, 420, 1300, zones},
		{"util-linux", "util-linux", "2.41-5", 70, 5, 4600, 60, 700, plain},
		{"vim", "vim-tiny", "2:9.1.1230-2", 2, 0, 1700, 14, 300, plain},
		{"xz-utils", "liblzma5", "5.8.1-1", 3, 1, 420, 20, 120, plain},
		{"zlib", "zlib1g", "1:1.3.dfsg+really1.3.1-1", 0, 1, 120, 2, 8, plain},
		{"zstd", "libzstd1", "1.5.7+dfsg-1", 2, 1, 1500, 4, 30, plain},
	}
}
