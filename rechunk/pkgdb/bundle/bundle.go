// Package bundle finds what lies in a directory or a file of its own, whose path says what it is: objects of the stores of
// Nix and Guix, modules of npm, flatpaks, snaps, and extensions of the system (systemd-sysext, systemd-confext). None of
// these keeps a database of files in the image, and none needs one.
package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

// maxManifest is the longest package.json that is read, in bytes.
const maxManifest = 1 << 20

// what is a bundle that a path lies in.
type what struct {
	// ecosystem is "nix", "guix", "npm", "flatpak", "snap", "sysext" or "confext".
	ecosystem string
	// root is the path of the bundle itself.
	root string
	// name has no version in it. Version may be empty.
	name, version string
	// linked says that files which have another name elsewhere are part of what lies there.
	linked bool
}

// Read hands over the bundles in v, in the order of the tree, each with everything in it. The ecosystem that a bundle is of
// is told before it; what is in several parts of the tree is handed over as often.
func Read(ctx context.Context, v *rootfs.View, ecosystem func(name string), s installed.Sink) error {
	var last what
	taken := false // last
	where := places()
	for e := range v.Entries() {
		w, ok := of(where, e.Path)
		if !ok {
			continue
		}
		if w.root != last.root {
			last = w
			var err error
			if taken, err = begin(ctx, v, w, ecosystem, s); err != nil {
				return err
			}
		}
		if !taken || w.linked && e.Link != "" {
			continue
		}
		if err := s.File(&installed.File{Path: e.Path, Kind: e.Kind}); err != nil {
			return err
		}
	}
	return v.Err()
}

// begin hands over a bundle without its files and reports whether it is one.
func begin(ctx context.Context, v *rootfs.View, w what, ecosystem func(string), s installed.Sink) (bool, error) {
	if w.ecosystem == "npm" {
		var err error
		if w.version, err = npmVersion(ctx, v, w.root); err != nil {
			return false, err
		}
	}
	p := &installed.Package{Name: w.name, Source: w.name, Version: w.version, Own: w.version}
	if p.Check() != nil { // the path says too much to be one
		return false, nil
	}
	ecosystem(w.ecosystem)
	return true, s.Package(p)
}

// npmVersion is the version that a module says it has; "" where it does not.
func npmVersion(ctx context.Context, v *rootfs.View, root string) (string, error) {
	text, err := v.ReadFile(ctx, root+"/package.json", maxManifest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, rootfs.ErrTooLarge) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var m struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(text, &m) != nil || len(m.Version) > installed.MaxName {
		return "", nil
	}
	return m.Version, nil
}

// place is a directory that bundles lie in.
type place struct {
	dir string
	// find says which bundle a path is in that begins with dir; below is the rest of it.
	find func(dir, below string) (what, bool)
}

func places() []place {
	return []place{
		{"nix/store/", store("nix")}, {"gnu/store/", store("guix")},
		{"var/lib/flatpak/", flatpak},
		{"var/lib/snapd/seed/snaps/", snapFile}, {"var/lib/snapd/seed/systems/", snapSystem},
		{"var/lib/snapd/snaps/", snapFile}, {"snap/", snapDir},
		{"usr/lib/extensions/", extension("sysext")}, {"usr/local/lib/extensions/", extension("sysext")},
		{"var/lib/extensions/", extension("sysext")}, {"etc/extensions/", extension("sysext")},
		{"usr/lib/confexts/", extension("confext")}, {"usr/local/lib/confexts/", extension("confext")},
		{"var/lib/confexts/", extension("confext")},
	}
}

// factory is where image builders move what an image has in /var.
const factory = "usr/share/factory/"

// of says which bundle a path lies in.
func of(places []place, p string) (what, bool) {
	where, moved := strings.CutPrefix(p, factory)
	for _, l := range places {
		if below, ok := strings.CutPrefix(where, l.dir); ok && moved {
			return l.find(factory+l.dir, below)
		} else if ok {
			return l.find(l.dir, below)
		}
	}
	return npm(p)
}

// storeHash is how long the hash is that a name in a store begins with, in characters of base 32.
const storeHash = 32

// store finds objects of a store: HASH-NAME-VERSION[-OUTPUT], and what they are built from, with .drv behind it. A name's
// version begins with the first digit behind a dash, as Nix's parseDrvName has it.
func store(ecosystem string) func(dir, below string) (what, bool) {
	return func(dir, below string) (what, bool) {
		top, _, _ := strings.Cut(below, "/")
		if len(top) <= storeHash+1 || top[storeHash] != '-' {
			return what{}, false
		}
		name, version := cutVersion(strings.TrimSuffix(top[storeHash+1:], ".drv"), "-")
		return what{ecosystem: ecosystem, root: dir + top, name: name, version: withoutOutput(version)}, name != ""
	}
}

// withoutOutput cuts from a version the name of the output that follows it.
func withoutOutput(version string) string {
	before, last, ok := cutLast(version, "-")
	if !ok {
		return version
	}
	switch last {
	case "bin", "data", "debug", "dev", "devdoc", "devman", "dist", "doc", "docs", "gui", "include", "info", "lib", "man",
		"out", "scripts", "static", "tests", "tools", "utils":
		return before
	}
	return version
}

func cutLast(s, separator string) (before, after string, ok bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// cutVersion cuts a name before the first separator that a digit follows.
func cutVersion(s, separators string) (name, version string) {
	for i := 1; i+1 < len(s); i++ {
		if strings.IndexByte(separators, s[i]) >= 0 && s[i+1] >= '0' && s[i+1] <= '9' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// commitHex is how long the name of a deployed commit is, and shortHex how much of it a version has.
const commitHex, shortHex = 64, 12

// flatpak finds what is deployed: app/ID/ARCH/BRANCH/COMMIT and the same of runtime. Its files are linked with objects in
// the repository. Branches and architectures are of one component: they come and go with what needs them.
func flatpak(dir, below string) (what, bool) {
	kind, rest, _ := strings.Cut(below, "/")
	w := what{ecosystem: "flatpak", root: dir + kind, name: kind}
	switch kind {
	case "repo":
		w.linked = true
		return w, true
	case "appstream":
		return w, true
	case "app", "runtime":
	default:
		return what{}, false
	}
	parts := strings.SplitN(rest, "/", 5)
	w.name, w.root = parts[0], w.root+"/"+parts[0]
	if len(parts) > 3 && len(parts[3]) == commitHex {
		w.root = dir + kind + "/" + strings.Join(parts[:4], "/")
		w.version = parts[2] + "@" + parts[3][:shortHex]
	}
	return w, w.name != ""
}

// snapFile finds snaps and their components in a directory: NAME_REVISION.snap and NAME+COMPONENT_REVISION.comp, with the
// version in place of the revision for those that no store has.
func snapFile(dir, below string) (what, bool) {
	name, revision, ok := strings.Cut(below, "_")
	kind := ""
	for _, suffix := range []string{".snap", ".comp"} {
		if before, has := strings.CutSuffix(revision, suffix); has {
			revision, kind = before, suffix
		}
	}
	if !ok || kind == "" || name == "" || strings.Contains(below, "/") {
		return what{}, false
	}
	return what{ecosystem: "snap", root: dir + below, name: name, version: revision}, true
}

// snapSystem finds the snaps that only one of the seed's systems has: LABEL/snaps/….
func snapSystem(dir, below string) (what, bool) {
	label, rest, _ := strings.Cut(below, "/")
	file, ok := strings.CutPrefix(rest, "snaps/")
	if !ok {
		return what{}, false
	}
	return snapFile(dir+label+"/snaps/", file)
}

// snapDir finds snaps that are unpacked: NAME/REVISION/….
func snapDir(dir, below string) (what, bool) {
	name, rest, _ := strings.Cut(below, "/")
	revision, _, deeper := strings.Cut(rest, "/")
	if name == "" || name == "bin" || !deeper {
		return what{}, false
	}
	return what{ecosystem: "snap", root: dir + name + "/" + revision, name: name, version: revision}, true
}

// extension finds images and directories of extensions: NAME, NAME.raw, NAME_VERSION.raw, and versions of one in NAME.v or
// NAME.raw.v (systemd.v(7)).
func extension(ecosystem string) func(dir, below string) (what, bool) {
	return func(dir, below string) (what, bool) {
		top, _, _ := strings.Cut(below, "/")
		name := strings.TrimSuffix(strings.TrimSuffix(top, ".v"), ".raw")
		name, version := cutVersion(name, "_-")
		return what{ecosystem: ecosystem, root: dir + top, name: name, version: version}, name != ""
	}
}

// npm finds the modules that lie in no other: …/node_modules/NAME or …/node_modules/@SCOPE/NAME. What a module brings along
// goes with it.
func npm(p string) (what, bool) {
	const modules = "node_modules/"
	at := 0
	if !strings.HasPrefix(p, modules) {
		if at = strings.Index(p, "/"+modules) + 1; at == 0 {
			return what{}, false
		}
	}
	at += len(modules)
	name, rest, deeper := strings.Cut(p[at:], "/")
	if strings.HasPrefix(name, "@") {
		module, _, more := strings.Cut(rest, "/")
		name, deeper = name+"/"+module, deeper && more && module != ""
	}
	if !deeper || name == "" || strings.HasPrefix(name, ".") {
		return what{}, false
	}
	return what{ecosystem: "npm", root: p[:at] + name, name: name}, true
}
