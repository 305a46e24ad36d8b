package pkgdb

import (
	"path"
	"strings"
)

// cachesName is the mechanism of everything that some tool derives from other files of the image.
const cachesName = "caches"

// generatedOf returns the mechanism that makes a path which no package ships, or "". A package that ships the file itself
// keeps it; these only apply to the rest.
func generatedOf(p string) string {
	p = original(p)
	if strings.HasSuffix(p, ".pyc") {
		return "pyc"
	}
	top, rest, _ := strings.Cut(p, "/")
	switch top {
	case "etc":
		return generatedInEtc(rest)
	case "var":
		return generatedInVar(rest)
	case "usr":
		return generatedInUsr(rest)
	}
	return ""
}

func generatedInEtc(p string) string {
	switch p {
	case "udev/hwdb.bin", ".updated":
		return cachesName
	case "ssl/certs/ca-certificates.crt":
		return "ca-certificates"
	}
	return below(p, []mechanism{
		{"pki/ca-trust/extracted/", "ca-certificates"}, {"ca-certificates/extracted/", "ca-certificates"},
		{"ssl/certs/java/", "ca-certificates"}, {"pki/java/", "ca-certificates"},
		{"dconf/db/", cachesName},
	})
}

func generatedInVar(p string) string {
	if exported, ok := strings.CutPrefix(p, "lib/flatpak/exports/"); ok {
		return generatedInUsr(exported)
	}
	return below(p, []mechanism{
		{"lib/ca-certificates/", "ca-certificates"}, {"lib/selinux/", "selinux"},
		{"lib/systemd/catalog/", cachesName}, {"cache/", cachesName}, {".updated", cachesName},
		{"lib/snapd/seed/", "snap-seed"},
	})
}

func generatedInUsr(p string) string {
	switch name := path.Base(p); name {
	case "icon-theme.cache", "mimeinfo.cache", "giomodule.cache", "gschemas.compiled", "immodules.cache", "loaders.cache",
		"fonts.dir", "fonts.scale", ".uuid", "ls-R", "hwdb.bin", "locale-archive", "gtk.immodules", "plugins.dat":
		return cachesName
	}
	if rest, ok := strings.CutPrefix(p, "share/mime/"); ok && !strings.HasPrefix(rest, "packages/") {
		return cachesName
	}
	return below(p, []mechanism{
		{"lib/fontconfig/cache/", cachesName}, {"lib/systemd/catalog/database", cachesName}, {"share/info/dir", cachesName},
	})
}
