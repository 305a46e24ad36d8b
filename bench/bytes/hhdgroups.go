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

// known are the groups of the list that packages of Fedora CoreOS, a server or a GNOME desktop can belong to: a name, a star
// where the group is alone, and patterns; the first that fits counts. The list's groups for Bazzite's, KDE's and other
// packages would be empty here.
const known = `
initramfs *: initramfs
kernel *: kernel* kmod* nct*
mesa-va *: mesa-va-drivers* mesa-vdpau-drivers*
mesa *: mesa*
firmware *: linux-firmware* *-firmware*
cups: cups*
samba: samba* libwbclient libsmbclient libnetapi
webkit *: webkit2gtk* webkitgtk* javascriptcoregtk*
gnome-utils *: gnome-remote-desktop gnome-keyring gnome-keyring-pam gnome-user-docs gnome-tweaks
gnome-shell *: nautilus nautilus-extensions xdg-desktop-portal-gnome gnome-software gnome-control-center gnome-control-center-filesystem gnome-shell*
gtk3 *: gtk3 gtk-update-icon-cache
gnome-session *: gsettings-desktop-schemas gnome-settings-daemon gnome-session gnome-session-wayland-session gnome-session-xsession gnome-system-monitor gnome-disk-utility gnome-backgrounds
llvm-libs *: llvm-libs*
llvm *: llvm* clang*
glibc *: glibc* libsnl*
libgcc *: libgcc* libstdc++ libgomp libobjc cpp libatomic libgfortran gcc
qemu *: qemu*
google-fonts *: google-noto-*
ghostscript *: ghostscript*
python3 *: python3 python3-libs python3-tkinter python-unversioned-command
flatpak: flatpak flatpak-session-helper flatpak-selinux flatpak-libs
perl: perl-libs perl-interpreter
coreutils: coreutils*
git *: git*
containerd.io *: containerd.io
vim: vim* xxd*
intel-driver: libva* intel-media-driver*
systemd: systemd*
gstreamer: gstreamer1*
sane: sane-backends*
networkmanager: NetworkManager*
pipewire: pipewire*
ibus *: ibus*
ostree: ostree*
grub2: grub2*
glib2: glib2*
openssl: openssl*
adwaita-theme: adwaita-cursor-theme adwaita-icon-theme
nss: nss*
libsemanage: libsepol libsemanage checkpolicy python3-libsemanage policycoreutils python3-policycoreutils
file: file file-libs
fwupd: fwupd*
pulseaudio: pulseaudio*
sss: sssd* libsss*
gnutls: gnutls*
alsa: alsa-*
libx11: libX11*
elfutils: elfutils*
dbus: dbus*
plymouth: plymouth*
poppler: poppler*
sqlite: sqlite*
udisks2: udisks2* libudisks2
avahi: avahi*
gvfs: gvfs*
shim: shim*
lvm2: lvm2*
libqmi: libqmi*
`

// groups reads the list of known groups.
func groups() []group {
	var out []group
	for line := range strings.Lines(strings.TrimSpace(known)) {
		name, patterns, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name, alone := strings.CutSuffix(name, " *")
		out = append(out, group{name, patterns, alone})
	}
	return out
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
