package bundle

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

func TestOf(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdfghijklmnpqrsvwxyz"
	const commit = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	const app, runtime = "var/lib/flatpak/app/org.gnome.Maps", "var/lib/flatpak/runtime/org.gnome.Platform"
	const moved = "usr/share/factory/"
	for p, want := range map[string]what{
		"nix/store/" + hash + "-glibc-2.40-66/lib/libc.so.6": {"nix", "nix/store/" + hash + "-glibc-2.40-66", "glibc",
			"2.40-66", false},
		"nix/store/" + hash + "-gtk+3-3.24": {"nix", "nix/store/" + hash + "-gtk+3-3.24", "gtk+3", "3.24", false},
		"nix/store/" + hash + "-nixos-system-host": {"nix", "nix/store/" + hash + "-nixos-system-host",
			"nixos-system-host", "", false},
		"nix/store/" + hash + "-openssl-3.3.2-dev/x": {"nix", "nix/store/" + hash + "-openssl-3.3.2-dev", "openssl",
			"3.3.2", false},
		"nix/store/" + hash + "-a-1.0-rc/x": {"nix", "nix/store/" + hash + "-a-1.0-rc", "a", "1.0-rc", false},
		"nix/store/" + hash + "-a.scm.drv":  {"nix", "nix/store/" + hash + "-a.scm.drv", "a.scm", "", false},
		"gnu/store/" + hash + "-bash-5.2-doc/share/x": {"guix", "gnu/store/" + hash + "-bash-5.2-doc", "bash",
			"5.2", false},
		"gnu/store/" + hash + "-bash-5.2.drv": {"guix", "gnu/store/" + hash + "-bash-5.2.drv", "bash", "5.2", false},
		app:                                   {"flatpak", app, "org.gnome.Maps", "", false},
		app + "/current":                      {"flatpak", app, "org.gnome.Maps", "", false},
		app + "/x86_64/stable/active":         {"flatpak", app, "org.gnome.Maps", "", false},
		app + "/x86_64/stable/" + commit + "/a/b": {"flatpak", app + "/x86_64/stable/" + commit, "org.gnome.Maps",
			"stable@0123456789ab", false},
		runtime + "/x86_64/47/" + commit: {"flatpak", runtime + "/x86_64/47/" + commit, "org.gnome.Platform",
			"47@0123456789ab", false},
		moved + runtime + "/x86_64/47/active":      {"flatpak", moved + runtime, "org.gnome.Platform", "", false},
		"var/lib/flatpak/repo/objects/00/1.file":   {"flatpak", "var/lib/flatpak/repo", "repo", "", true},
		"var/lib/flatpak/appstream/hub/x86_64/1/a": {"flatpak", "var/lib/flatpak/appstream", "appstream", "", false},
		"var/lib/snapd/seed/snaps/core22_1380.snap": {"snap", "var/lib/snapd/seed/snaps/core22_1380.snap", "core22",
			"1380", false},
		"var/lib/snapd/seed/snaps/a+b_7.comp":         {"snap", "var/lib/snapd/seed/snaps/a+b_7.comp", "a+b", "7", false},
		"var/lib/snapd/seed/systems/1/snaps/a_1.snap": {"snap", "var/lib/snapd/seed/systems/1/snaps/a_1.snap", "a", "1", false},
		"var/lib/snapd/snaps/lxd_24061.snap":          {"snap", "var/lib/snapd/snaps/lxd_24061.snap", "lxd", "24061", false},
		"snap/lxd/24061/bin/lxd":                      {"snap", "snap/lxd/24061", "lxd", "24061", false},
		"usr/lib/extensions/dev-tools.raw":            {"sysext", "usr/lib/extensions/dev-tools.raw", "dev-tools", "", false},
		"var/lib/extensions/docker_27.3.raw":          {"sysext", "var/lib/extensions/docker_27.3.raw", "docker", "27.3", false},
		"var/lib/extensions/docker.raw.v/docker_27.3.raw": {"sysext", "var/lib/extensions/docker.raw.v", "docker",
			"", false},
		"var/lib/confexts/site/etc/motd":                    {"confext", "var/lib/confexts/site", "site", "", false},
		"usr/lib/node_modules/npm/node_modules/semver/x.js": {"npm", "usr/lib/node_modules/npm", "npm", "", false},
		"opt/app/node_modules/@types/node/index.d.ts": {"npm", "opt/app/node_modules/@types/node", "@types/node",
			"", false},
		"node_modules/a/b":                     {"npm", "node_modules/a", "a", "", false},
		"nix/store/" + hash:                    {},
		"nix/store/.links/abc":                 {},
		"nix/var/nix/db/db.sqlite":             {},
		"var/lib/flatpak/app":                  {},
		"var/lib/flatpak/overrides/global":     {},
		"var/lib/flatpak/exports/bin/x":        {},
		"var/lib/snapd/seed/seed.yaml":         {},
		"var/lib/snapd/seed/systems/1/model":   {},
		"var/lib/snapd/seed/systems/1/snaps/x": {},
		"var/lib/snapd/snaps/a_b/c.snap":       {},
		"snap/bin/lxd":                         {},
		"snap/lxd/current":                     {},
		"opt/app/node_modules/.bin/tsc":        {},
		"opt/app/node_modules/a":               {},
		"opt/app/node_modules/@types":          {},
		"opt/app/not_node_modules/a/b":         {},
		"usr/lib/extensions/":                  {},
		"usr/bin/node":                         {},
	} {
		if got, ok := of(places(), p); got != want && (ok || want != (what{})) {
			t.Errorf("%s: %+v, want %+v", p, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	tr, c := treetest.New(treetest.Files{
		"usr/lib/node_modules/npm/package.json":                   `{"name": "x", "version": "10.9.0"}`,
		"usr/lib/node_modules/npm/lib/a.js":                       "a",
		"usr/lib/node_modules/npm-next/package.json":              "no JSON",
		"usr/lib/node_modules/bare/a.js":                          "a",
		"usr/lib/extensions/big.raw":                              "image",
		"var/lib/extensions/" + strings.Repeat("n", 256) + ".raw": "a name that is none",
	})
	s := &treetest.Sink{}
	var ecosystems []string
	if err := Read(t.Context(), rootfs.New(tr, c), func(name string) { ecosystems = append(ecosystems, name) },
		s); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, p := range s.Packages {
		var paths []string
		for _, f := range p.Files {
			paths = append(paths, f.Path)
		}
		got[ecosystems[i]+"/"+p.Source+" "+p.Version] = strings.Join(paths, " ")
	}
	const modules = "usr/lib/node_modules/"
	want := map[string]string{
		"sysext/big ":    "usr/lib/extensions/big.raw",
		"npm/bare ":      modules + "bare/a.js",
		"npm/npm 10.9.0": modules + "npm/lib " + modules + "npm/lib/a.js " + modules + "npm/package.json",
		"npm/npm-next ":  modules + "npm-next/package.json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What Nix itself puts into its store belongs to the package by its name, without hash and version.
func TestNix(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nix-store"); err != nil {
		t.Skip("there is no nix-store")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "hello-world-1.2.3/bin/hello")
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("hello"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nix-store", "--store", "local?root="+dir+"/root", "--option",
		"substituters", "", "--option", "build-users-group", "", "--add", "hello-world-1.2.3")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nix-store: %v: %s", err, out)
	}
	p := strings.TrimPrefix(strings.TrimSpace(string(out)), "/") + "/bin/hello"
	text, err := os.ReadFile(filepath.Join(dir, "root", p))
	if err != nil {
		t.Fatal(err)
	}
	// The store is read-only, also to who removes the directory.
	if err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return os.Chmod(p, 0o755)
	}); err != nil {
		t.Fatal(err)
	}
	tr, c := treetest.New(treetest.Files{p: text})
	s := &treetest.Sink{}
	if err := Read(t.Context(), rootfs.New(tr, c), func(string) {}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 1 || s.Packages[0].Source != "hello-world" || len(s.Packages[0].Files) == 0 {
		t.Errorf("%s is of %+v", p, s.Packages)
	}
}

// What npm itself installs belongs to its module.
func TestNpm(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("there is no npm")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"module/package.json": `{"name": "@strata/test", "version": "1.2.3"}`, "module/lib/a.js": "a",
		"root/package.json": "{}",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"pack", "./module"},
		{"install", "--offline", "--prefix", "root", "./strata-test-1.2.3.tgz"}} {
		cmd := exec.CommandContext(t.Context(), "npm", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm %v: %v: %s", args, err, out)
		}
	}
	files := treetest.Files{}
	for _, name := range []string{"package.json", "lib/a.js"} {
		text, err := os.ReadFile(filepath.Join(dir, "root/node_modules/@strata/test", name))
		if err != nil {
			t.Fatal(err)
		}
		files["usr/lib/node_modules/@strata/test/"+name] = text
	}
	tr, c := treetest.New(files)
	s := &treetest.Sink{}
	if err := Read(t.Context(), rootfs.New(tr, c), func(string) {}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.Packages) != 1 || s.Packages[0].Source != "@strata/test" || s.Packages[0].Version != "1.2.3" {
		t.Errorf("found %+v", s.Packages)
	}
}

func FuzzOf(f *testing.F) {
	f.Add("nix/store/0123456789abcdfghijklmnpqrsvwxyz-a-1")
	f.Add("var/lib/extensions/a_1.raw.v/x")
	f.Add("a/node_modules/@s/m/x")
	f.Add("node_modules//")
	f.Add("node_modules/@s//x")
	f.Add("snap/a//x")
	f.Add("var/lib/flatpak/app//x")
	f.Add("usr/share/factory/var/lib/flatpak/app/a/b/c/" + strings.Repeat("0", 64) + "/x")
	f.Add("var/lib/snapd/seed/systems/a/snaps/a+b_1.comp")
	f.Fuzz(func(t *testing.T, p string) {
		if w, ok := of(places(), p); ok && (!strings.HasPrefix(p, w.root) || w.name == "" || w.ecosystem == "") {
			t.Fatalf("%q: %+v", p, w)
		}
	})
}
