package main

import "strings"

// group is one of the groups of packages that hhd-dev/rechunk's meta.yml lists.
type group struct {
	name string
	// patterns are globs of package names, in which * may be anything.
	patterns string
	// alone groups have a layer of their own when they are large enough.
	alone bool
}

// groups are those of the list that packages of Fedora CoreOS, a server or a GNOME desktop can belong to; the first that fits
// counts. The list's groups for Bazzite's, KDE's and other packages would be empty here.
func groups() []group {
	return []group{
		{"initramfs", "initramfs", true},
		{"kernel", "kernel* kmod* nct*", true},
		{"mesa-va", "mesa-va-drivers* mesa-vdpau-drivers*", true},
		{"mesa", "mesa*", true},
		{"firmware", "linux-firmware* *-firmware*", true},
		{"cups", "cups*", false},
		{"samba", "samba* libwbclient libsmbclient libnetapi", false},
		{"webkit", "webkit2gtk* webkitgtk* javascriptcoregtk*", true},
		{"gnome-utils", "gnome-remote-desktop gnome-keyring gnome-keyring-pam gnome-user-docs gnome-tweaks", true},
		{"gnome-shell", "nautilus nautilus-extensions xdg-desktop-portal-gnome gnome-software gnome-control-center " +
			"gnome-control-center-filesystem gnome-shell*", true},
		{"gtk3", "gtk3 gtk-update-icon-cache", true},
		{"gnome-session", "gsettings-desktop-schemas gnome-settings-daemon gnome-session gnome-session-wayland-session " +
			"gnome-session-xsession gnome-system-monitor gnome-disk-utility gnome-backgrounds", true},
		{"llvm-libs", "llvm-libs*", true},
		{"llvm", "llvm* clang*", true},
		{"glibc", "glibc* libsnl*", true},
		{"libgcc", "libgcc* libstdc++ libgomp libobjc cpp libatomic libgfortran gcc", true},
		{"qemu", "qemu*", true},
		{"google-fonts", "google-noto-*", true},
		{"ghostscript", "ghostscript*", true},
		{"python3", "python3 python3-libs python3-tkinter python-unversioned-command", true},
		{"flatpak", "flatpak flatpak-session-helper flatpak-selinux flatpak-libs", false},
		{"perl", "perl-libs perl-interpreter", false},
		{"coreutils", "coreutils*", false},
		{"git", "git*", true},
		{"containerd.io", "containerd.io", true},
		{"vim", "vim* xxd*", false},
		{"intel-driver", "libva* intel-media-driver*", false},
		{"systemd", "systemd*", false},
		{"gstreamer", "gstreamer1*", false},
		{"sane", "sane-backends*", false},
		{"networkmanager", "NetworkManager*", false},
		{"pipewire", "pipewire*", false},
		{"ibus", "ibus*", true},
		{"ostree", "ostree*", false},
		{"grub2", "grub2*", false},
		{"glib2", "glib2*", false},
		{"openssl", "openssl*", false},
		{"adwaita-theme", "adwaita-cursor-theme adwaita-icon-theme", false},
		{"nss", "nss*", false},
		{"libsemanage", "libsepol libsemanage checkpolicy python3-libsemanage policycoreutils python3-policycoreutils", false},
		{"file", "file file-libs", false},
		{"fwupd", "fwupd*", false},
		{"pulseaudio", "pulseaudio*", false},
		{"sss", "sssd* libsss*", false},
		{"gnutls", "gnutls*", false},
		{"alsa", "alsa-*", false},
		{"libx11", "libX11*", false},
		{"elfutils", "elfutils*", false},
		{"dbus", "dbus*", false},
		{"plymouth", "plymouth*", false},
		{"poppler", "poppler*", false},
		{"sqlite", "sqlite*", false},
		{"udisks2", "udisks2* libudisks2", false},
		{"avahi", "avahi*", false},
		{"gvfs", "gvfs*", false},
		{"shim", "shim*", false},
		{"lvm2", "lvm2*", false},
		{"libqmi", "libqmi*", false},
	}
}

// groupOf finds the group of a package, nil when it has none.
func groupOf(pkg string) *group {
	for _, g := range groups() {
		for _, p := range strings.Fields(g.patterns) {
			if matches(p, pkg) {
				return &g
			}
		}
	}
	return nil
}

// matches reports whether a glob fits a whole text; * stands for any text, slashes included.
func matches(glob, text string) bool {
	head, rest, star := strings.Cut(glob, "*")
	if !star {
		return glob == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for i := 0; i <= len(text); i++ {
		if matches(rest, text[i:]) {
			return true
		}
	}
	return false
}
