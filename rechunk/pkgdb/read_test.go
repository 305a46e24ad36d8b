package pkgdb_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/legible"
	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/pkgdb/internal/treetest"
	"github.com/strata-oci/strata/rechunk/tree"
)

// owners reads a tree and checks what must hold for every result.
func owners(t testing.TB, files treetest.Files) (*tree.Tree, *pkgdb.Owners) {
	t.Helper()
	tr, c := treetest.New(files)
	o, err := pkgdb.Read(t.Context(), tr, c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	checkOwners(t, tr, o)
	return tr, o
}

func checkOwners(t testing.TB, tr *tree.Tree, o *pkgdb.Owners) {
	t.Helper()
	if len(o.Of) != len(tr.Entries) {
		t.Fatalf("%d assignments for %d entries", len(o.Of), len(tr.Entries))
	}
	byID := func(a, b pkgdb.Component) int { return cmp.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(o.Components, byID) {
		t.Error("components are not in order")
	}
	used := make([]bool, len(o.Components))
	groups := map[string]int32{}
	for i, e := range tr.Entries {
		used[o.Of[i]] = true
		if e.Link == "" {
			continue
		}
		if c, ok := groups[e.Link]; ok && c != o.Of[i] {
			t.Errorf("%s: hardlink group split between %s and %s", e.Path, o.Components[c].ID, o.Components[o.Of[i]].ID)
		}
		groups[e.Link] = o.Of[i]
	}
	for i, c := range o.Components {
		if !used[i] || c.Kind == 0 || c.ID == "" {
			t.Errorf("component %+v, used %v", c, used[i])
		}
	}
}

// What came without a package manager is known by what it recorded or by where it lies, unless a package owns it. Compiled
// files of Python are no distribution's.
func TestBesides(t *testing.T) {
	t.Parallel()
	const site, info = "usr/lib/python3/dist-packages/", "usr/lib/python3/dist-packages/idna-3.4.dist-info/"
	want := map[string]string{
		site + "idna/core.py":                   "python/idna",
		site + "idna/huge.so":                   "python/idna",
		site + "idna/core.pyc":                  "volatile/pyc",
		info + "RECORD":                         "python/idna",
		site + "owned/a.py":                     "dpkg/python-owned",
		site + "owned-1.dist-info/RECORD":       "dpkg/python-owned",
		"usr/lib/node_modules/npm/bin/npm.js":   "npm/npm",
		"usr/lib/node_modules/npm/package.json": "npm/npm",
		"usr/lib/extensions/debug_6.raw":        "sysext/debug",
		"var/lib/flatpak/repo/config":           "flatpak/repo",
		"usr/lib/python3/alone.py":              "rest",
	}
	files := treetest.Files{
		"var/lib/dpkg/status":                  "Package: python3-owned\nSource: python-owned\nStatus: install ok installed\nVersion: 1\n\n",
		"var/lib/dpkg/info/python3-owned.list": "/" + site + "owned/a.py\n/" + site + "owned-1.dist-info/RECORD\n",
	}
	for p := range want {
		files[p] = p
	}
	files[info+"RECORD"] = "idna/core.py,,\nidna/huge.so,,\nidna/core.pyc,,\nidna-3.4.dist-info/RECORD,,\n"
	files[site+"owned-1.dist-info/RECORD"] = "owned/a.py,,\nowned-1.dist-info/RECORD,,\n"
	files["usr/lib/node_modules/npm/package.json"] = `{"version": "10.9.0"}`
	files[site+"idna/huge.so"] = treetest.Sized(1 << 20)
	tr, o := owners(t, files)
	if diff := gocmp.Diff(want, owned(t, tr, o, slices.Collect(maps.Keys(want))...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, c := range o.Components {
		if v, ok := map[string]string{"python/idna": "3.4", "npm/npm": "10.9.0", "sysext/debug": "6"}[c.ID]; ok &&
			c.Version != v {
			t.Errorf("%s has version %q, want %q", c.ID, c.Version, v)
		}
	}
}

// owned returns the component IDs of paths.
func owned(t testing.TB, tr *tree.Tree, o *pkgdb.Owners, paths ...string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, p := range paths {
		i, ok := tr.Find(p)
		if !ok {
			t.Fatalf("no %s in the tree", p)
		}
		got[p] = o.Components[o.Of[i]].ID
	}
	return got
}

func checkOwned(t testing.TB, files treetest.Files, want map[string]string) *pkgdb.Owners {
	t.Helper()
	tr, o := owners(t, files)
	var paths []string
	for p := range want {
		paths = append(paths, p)
	}
	if diff := gocmp.Diff(want, owned(t, tr, o, paths...)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	return o
}

func TestReadWithoutDatabase(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	want := map[string]string{
		".": "rest", "etc": "rest", "etc/conf": "rest",
		"opt/big":                                 "large/opt/big",
		"opt/big\xff\n":                           `large/opt/big\xff\n`,
		"etc/passwd":                              "volatile/accounts",
		"etc/shadow-":                             "volatile/accounts",
		"usr/etc/group":                           "volatile/accounts",
		"etc/ld.so.cache":                         "volatile/ld-cache",
		"var/cache/ldconfig/aux-cache":            "volatile/ld-cache",
		"etc/ssh/ssh_host_rsa_key":                "volatile/hostkeys",
		"etc/machine-id":                          "volatile/hostkeys",
		"usr/share/rpm/__db.001":                  "volatile/rpmdb",
		"var/lib/dpkg/status-old":                 "volatile/dpkg",
		"var/lib/dpkg/info/format":                "rest",
		"var/lib/dpkg/alternatives/vi":            "rest",
		"var/log/dnf5.log":                        "volatile/logs",
		"var/log":                                 "rest",
		"usr/lib/sysimage/libdnf5/x.sqlite":       "volatile/history",
		"var/cache/dnf/huge.solv":                 "volatile/package-cache",
		"var/lib/pacman/local/a-1/desc":           "volatile/alpm",
		"var/lib/pacman/local/a-1/files":          "rest",
		"var/cache/man/index.db":                  "volatile/caches",
		"nix/var/nix/db/db.sqlite":                "volatile/nix",
		"nix/var/log/nix/drvs/a":                  "volatile/logs",
		"usr/share/factory/var/log/a":             "volatile/logs",
		"usr/lib/udev/hwdb.bin":                   "volatile/usr/lib/udev/hwdb.bin",
		"usr/share/mime/mime.cache":               "volatile/caches",
		"usr/share/mime/packages/a.xml":           "rest",
		"etc/pki/ca-trust/extracted/java/cacerts": "volatile/ca-certificates",
		"usr/lib/python3/x.pyc":                   "volatile/pyc",
		"usr/lib/modules/6.1/vmlinuz":             "kernel",
		"usr/lib/modules/6.1":                     "kernel",
		"usr/lib/modules":                         "rest",
		"usr/lib/modules/6.1/initramfs.img":       "initramfs",
		"usr/lib/modules/6.1/kernel/initrd.ko":    "kernel",
		"usr/lib/modules/6.1/extra/nvidia.ko":     "kernel/extra",
		"usr/lib/modules-load.d/a.conf":           "rest",
		"boot/vmlinuz-6.1":                        "kernel",
		"boot/config-6.1":                         "kernel",
		"boot/initrd.img-6.1":                     "initramfs",
		"boot/EFI/Linux/a.efi":                    "initramfs",
		"boot/grub2/grub.cfg":                     "rest",
		"usr/lib/ostree-boot/vmlinuz-6.1":         "kernel",
		"boot/fedora/6.1/linux":                   "kernel",
		"boot/fedora/6.1/initrd":                  "initramfs",
		"boot/loader/linux":                       "rest",
		"boot/loader/entries/a-6.1.conf":          "kernel",
		"boot/loader/loader.conf":                 "rest",
		"boot/efi/EFI/Linux/b.efi":                "initramfs",
		"efi/EFI/Linux/c.efi":                     "initramfs",
		"efi/EFI/BOOT/BOOTX64.EFI":                "rest",
		"usr/lib/linux-image-6.1-arm64/a.dtb":     "kernel",
		"usr/lib/firmware/6.1/device-tree/b.dtb":  "kernel",
		"usr/lib/firmware/iwlwifi.ucode":          "rest",
		"vmlinuz":                                 "kernel",
		"lib/modules/6.1/modules.dep":             "kernel",
	}
	files := treetest.Files{}
	for p := range want {
		files[p] = p
	}
	files["vmlinuz"] = treetest.Link("boot/vmlinuz-6.1")
	for _, p := range []string{"opt/big", "opt/big\xff\n", "usr/lib/udev/hwdb.bin", "var/cache/dnf/huge.solv"} {
		files[p] = treetest.Sized(mib)
	}
	for _, dir := range []string{".", "etc", "var/log", "usr/lib/modules", "usr/lib/modules/6.1"} {
		delete(files, dir)
	}
	checkOwned(t, files, want)
}

func dpkgFiles() treetest.Files {
	return treetest.Files{
		"var/lib/dpkg/status": "Package: libfoo1\nStatus: install ok installed\nVersion: 1-2\nSource: foo\n\n" +
			"Package: foo\nStatus: install ok installed\nVersion: 1-2\n\n" +
			"Package: bar\nStatus: install ok installed\nVersion: 3\n",
		"var/lib/dpkg/info/libfoo1.list": "/.\n/lib\n/lib/libfoo.so.1\n/usr\n/usr/share\n/usr/share/foo\n/usr/share/foo/data\n",
		"var/lib/dpkg/info/foo.list":     "/.\n/bin\n/bin/foo\n/usr\n/usr/share\n/usr/share/foo\n/etc\n/etc/foo.conf\n",
		"var/lib/dpkg/info/bar.list":     "/.\n/usr\n/usr/share\n/usr/share/bar\n/usr/share/bar/x\n/lib/modules/6.1/bar.ko\n/etc/passwd\n/absent\n",
		"usr/lib/libfoo.so.1":            "so", "usr/bin/foo": "foo", "usr/etc/foo.conf": "conf",
		"usr/share/foo/data": "data",
		"lib":                treetest.Link("usr/lib"), "bin": treetest.Link("usr/bin"),
		"usr/share/bar/x": "x", "usr/lib/modules/6.1/bar.ko": "ko", "etc/passwd": "root",
	}
}

func TestReadDpkg(t *testing.T) {
	t.Parallel()
	o := checkOwned(t, dpkgFiles(), map[string]string{
		"usr/lib/libfoo.so.1": "dpkg/foo", "usr/bin/foo": "dpkg/foo", "usr/etc/foo.conf": "dpkg/foo",
		"usr/share/foo/data": "dpkg/foo",
		"usr/share/foo":      "dpkg/foo", "usr/share": "rest", "usr/share/bar": "dpkg/bar", "usr/share/bar/x": "dpkg/bar",
		"usr/lib/modules/6.1/bar.ko": "kernel", "etc/passwd": "volatile/accounts",
		"var/lib/dpkg/info/bar.list": "dpkg/bar", "var/lib/dpkg/status": "volatile/dpkg", "lib": "rest",
	})
	var got []pkgdb.Component
	for _, c := range o.Components {
		if c.Kind == pkgdb.Package || c.Kind == pkgdb.Kernel {
			got = append(got, c)
		}
	}
	want := []pkgdb.Component{
		{ID: "dpkg/bar", Kind: pkgdb.Package, Version: "3"},
		{ID: "dpkg/foo", Kind: pkgdb.Package, Version: "1-2"},
		{ID: "kernel", Kind: pkgdb.Kernel, Version: "3"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

func TestReadOtherEcosystems(t *testing.T) {
	t.Parallel()
	checkOwned(t, treetest.Files{
		"lib/apk/db/installed":           "P:musl-utils\nV:1\no:musl\nt:5\nF:usr/bin\nR:ldd\n",
		"usr/bin/ldd":                    "ldd",
		"var/lib/pacman/local/z-1/desc":  "%NAME%\nz\n\n%VERSION%\n1\n",
		"var/lib/pacman/local/z-1/files": "%FILES%\nusr/bin/z\nusr/bin/ldd\n",
		"usr/bin/z":                      "z",
	}, map[string]string{
		"usr/bin/ldd": "alpm/z", // claimed twice: the smaller ID has it
		"usr/bin/z":   "alpm/z", "var/lib/pacman/local/z-1/files": "alpm/z",
		"lib/apk/db/installed": "volatile/apk", "usr/bin": "apk/musl",
	})
}

func TestReadCustom(t *testing.T) {
	t.Parallel()
	name := func(v any, name, interval string) treetest.With {
		x := map[string]string{"user.component": name}
		if interval != "" {
			x["user.update-interval"] = interval
		}
		return treetest.With{Value: v, Xattrs: x}
	}
	files := dpkgFiles()
	files["usr/share/foo"] = name(treetest.Dir{}, "my apps", "Weekly")
	files["usr/share/foo/sub/deep"] = "deep"
	files["usr/share/foo/other"] = name("other", "b", "30")
	files["usr/share/foo/again"] = name("again", "b", "14")
	files["usr/share/foo-not"] = "not"
	files["usr/share/bad"] = name("bad", "", "")
	files["usr/share/bad-interval"] = name("bad", "c", "often")
	files["usr/lib/modules/6.1/vmlinuz"] = name("kernel", "b", "")
	o := checkOwned(t, files, map[string]string{
		"usr/share/foo": "custom/my apps", "usr/share/foo/data": "custom/my apps",
		"usr/share/foo/sub/deep": "custom/my apps",
		"usr/share/foo/other":    "custom/b", "usr/share/foo-not": "rest", "usr/share/bad": "rest",
		"usr/share/bad-interval":      "custom/c",
		"usr/lib/modules/6.1/vmlinuz": "custom/b",
	})
	intervals := map[string]int64{}
	for _, c := range o.Components {
		if c.Kind == pkgdb.Custom {
			intervals[c.ID] = c.Interval
		}
	}
	if diff := gocmp.Diff(map[string]int64{"custom/b": 14 * 86400, "custom/c": 0, "custom/my apps": 7 * 86400},
		intervals); diff != "" {
		t.Errorf("intervals (-want +got):\n%s", diff)
	}
	if len(o.Warnings) != 1 || o.Warnings[0].Count != 2 {
		t.Errorf("warnings: %q", o.Warnings)
	}
}

func TestReadHardlinks(t *testing.T) {
	t.Parallel()
	files := dpkgFiles()
	// The first name is nobody's; the strongest claim holds for all.
	files["a/foo"] = "foo"
	files["usr/bin/foo"] = treetest.Hard("a/foo")
	files["b/big"] = treetest.Sized(2 << 20)
	files["c/big"] = treetest.Hard("b/big")
	checkOwned(t, files, map[string]string{"a/foo": "dpkg/foo", "usr/bin/foo": "dpkg/foo", "b/big": "large/b/big",
		"c/big": "large/b/big"})
}

func TestReadDamagedDatabasesAreWarnings(t *testing.T) {
	t.Parallel()
	files := dpkgFiles()
	files["usr/lib/sysimage/rpm/rpmdb.sqlite"] = strings.Repeat("no database", 1000)
	files["usr/lib/apk/db/installed"] = "\x1b[31mred\n"
	o := checkOwned(t, files, map[string]string{"usr/bin/foo": "dpkg/foo"})
	if len(o.Warnings) != 2 || strings.Contains(fmt.Sprint(o.Warnings), "\x1b") {
		t.Errorf("warnings: %q", o.Warnings)
	}
}

// However much is wrong in databases of one kind, it is counted, and hides none of the others.
func TestReadCountsWarnings(t *testing.T) {
	t.Parallel()
	files := treetest.Files{"lib/apk/db/installed": "P:a\nF:bin\nR:a\n\ngarbage"}
	var status strings.Builder
	for i := range 300 {
		fmt.Fprintf(&status, "Package: p%d\u202e\n\n", i)
		files[fmt.Sprintf("usr/lib/python3/site-packages/p%d-1.dist-info/RECORD", i)] = ",,\n"
	}
	files["var/lib/dpkg/status"] = status.String() + strings.Repeat("garbage", 1<<18)
	tr, o := owners(t, files)
	_, contents := treetest.New(files)
	_, listed, err := pkgdb.Packages(t.Context(), tr, contents, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, all := range map[string][]pkgdb.Warning{"owners": o.Warnings, "packages": listed} {
		want := map[string]int{"apk": 1, "dpkg": 301, "python": 300}
		if name == "packages" {
			delete(want, "python") // its distributions are no packages of the image
		}
		got := map[string]int{}
		for _, w := range all {
			got[w.Database] += w.Count
			if len(w.Lines) > 20 || !legible.Plain(w.String()) || strings.Contains(w.String(), "more") != (w.Count > 1) {
				t.Errorf("%s: %d lines: %s", name, len(w.Lines), w)
			}
			if w.Database == "dpkg" && !strings.Contains(w.Lines[0], "damaged package database") {
				t.Errorf("%s: what ended the database is not told first: %s", name, w)
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	tr, c := treetest.New(dpkgFiles())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pkgdb.Read(ctx, tr, c, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := pkgdb.Read(t.Context(), tr, treetest.Contents{}, t.TempDir()); !errors.Is(err, tree.ErrNoContent) {
		t.Errorf("contents gone: %v", err)
	}
	empty, err := pkgdb.Read(t.Context(), &tree.Tree{}, c, t.TempDir())
	if err != nil || len(empty.Of) != 0 || len(empty.Components) != 0 {
		t.Errorf("empty tree: %+v, %v", empty, err)
	}
}

func TestReadIsDeterministic(t *testing.T) {
	t.Parallel()
	_, first := owners(t, dpkgFiles())
	for range 10 {
		_, again := owners(t, dpkgFiles())
		if diff := gocmp.Diff(first, again); diff != "" {
			t.Fatalf("another result (-first +again):\n%s", diff)
		}
	}
}
