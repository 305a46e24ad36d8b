package noise

import (
	"io"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
)

// file is a regular file of one name.
func file(p string, content byte) tree.Entry {
	return tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Size: 5, Digest: tree.Digest{content}}
}

func treeOf(entries ...tree.Entry) *tree.Tree { return &tree.Tree{Entries: entries} }

func TestKindAt(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]Kind{
		"boot/initrd.img-6.12": Initramfs, "boot/initramfs-6.12.img": Initramfs,
		"usr/lib/modules/6.12/initramfs.img":     Initramfs,
		"usr/lib/ostree-boot/initramfs-6.img-0a": Initramfs, "usr/share/initramfs/x": "", "boot/vmlinuz": "",
		"usr/lib/sysimage/rpm/rpmdb.sqlite": RPMDatabase, "var/lib/rpm/rpmdb.sqlite": RPMDatabase,
		"usr/lib/sysimage/rpm-ostree-base-db/rpmdb.sqlite": RPMDatabase, "root/rpmdb.sqlite": "",
		"usr/lib/sysimage/rpm/Packages.db": "", "usr/share/man/man1/a.1.gz": Compressed, "a.txz": Compressed,
		"b.zst": Compressed,
		"a.bz2": "", "gz": "", "usr/lib/modules/6.12/initramfs.img.gz": Initramfs,
	} {
		if got := KindAt(p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	const p = "boot/initrd"
	changed := func(edit func(*tree.Entry)) tree.Entry {
		e := file(p, 2)
		edit(&e)
		return e
	}
	linked := func(e tree.Entry, first string) tree.Entry {
		e.Link = first
		return e
	}
	ima := []tree.Xattr{{Name: "security.ima", Value: "x"}}
	const rpm = "usr/lib/sysimage/rpm/rpmdb.sqlite"
	for name, tc := range map[string]struct {
		old, now *tree.Tree
		times    bool
		want     int
	}{
		"changed":      {old: treeOf(file(p, 1)), now: treeOf(file(p, 2)), want: 1},
		"same":         {old: treeOf(file(p, 1)), now: treeOf(file(p, 1))},
		"new":          {old: treeOf(), now: treeOf(file(p, 1))},
		"moved":        {old: treeOf(file("boot/initrd-1", 1)), now: treeOf(file("boot/initrd-2", 2))},
		"another path": {old: treeOf(file("boot/x", 1)), now: treeOf(file("boot/x", 2))},
		"another time": {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) { e.Sec = 9 })), want: 1},
		"exact time":   {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) { e.Sec = 9 })), times: true},
		"mode":         {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) { e.Mode = 0o600 }))},
		"owner":        {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) { e.UID = 1 }))},
		"group":        {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) { e.GID = 1 }))},
		"attributes": {old: treeOf(file(p, 1)), now: treeOf(changed(func(e *tree.Entry) {
			e.Xattrs = []tree.Xattr{{Name: "user.x"}}
		}))},
		"a link before": {old: treeOf(tree.Entry{Path: p, Kind: tree.Symlink}), now: treeOf(file(p, 2))},
		"sealed": {old: treeOf(changed(func(e *tree.Entry) { e.Digest, e.Xattrs = tree.Digest{1}, ima })),
			now: treeOf(changed(func(e *tree.Entry) { e.Xattrs = ima }))},
		"signed":        {old: treeOf(file(p, 1)), now: treeOf(file(p, 2), file(p+".sig", 3))},
		"signed before": {old: treeOf(file(p, 1), file(p+".p7s", 3)), now: treeOf(file(p, 2))},
		"checked":       {old: treeOf(file(p, 1)), now: treeOf(file("boot/.initrd.hmac", 3), file(p, 2))},
		"database":      {old: treeOf(file(rpm, 1)), now: treeOf(file(rpm, 2)), want: 1},
		"with a log":    {old: treeOf(file(rpm, 1)), now: treeOf(file(rpm, 2), file(rpm+"-wal", 3))},
		"with a log before": {
			old: treeOf(file(rpm, 1), file(rpm+"-wal", 3)), now: treeOf(file(rpm, 2)),
		},
		"with an empty log": {old: treeOf(file(rpm, 1)),
			now: treeOf(file(rpm, 2), tree.Entry{Path: rpm + "-wal", Kind: tree.Regular}), want: 1},
		"two names": {old: treeOf(file("boot/initrd-a", 1), file("boot/initrd-b", 1)),
			now: treeOf(linked(file("boot/initrd-a", 2), "boot/initrd-a"),
				linked(file("boot/initrd-b", 2), "boot/initrd-a")),
			want: 1},
		"names of two": {old: treeOf(file("boot/initrd-a", 1), file("boot/initrd-b", 3)),
			now: treeOf(linked(file("boot/initrd-a", 2), "boot/initrd-a"),
				linked(file("boot/initrd-b", 2), "boot/initrd-a"))},
		"a copy elsewhere": {old: treeOf(file("boot/initrd", 1)),
			now: treeOf(file("boot/initrd", 2), file("boot/other", 2))},
		"a copy with it": {old: treeOf(file("boot/initrd", 1), file("usr/lib/modules/1/initrd", 1)),
			now: treeOf(file("boot/initrd", 2), file("usr/lib/modules/1/initrd", 2)), want: 2},
		"a copy of another": {old: treeOf(file("boot/initrd", 1), file("usr/lib/modules/1/initrd", 3)),
			now: treeOf(file("boot/initrd", 2), file("usr/lib/modules/1/initrd", 2))},
		"a name elsewhere": {old: treeOf(file("boot/initrd-a", 1), file("boot/x", 1)),
			now: treeOf(linked(file("boot/initrd-a", 2), "boot/initrd-a"), linked(file("boot/x", 2), "boot/initrd-a"))},
	} {
		if got := Files(tc.old, tc.now, tc.times); len(got) != tc.want {
			t.Errorf("%s: %+v", name, got)
		} else if tc.want > 0 && (got[0].Old.Digest != tree.Digest{1} || got[0].Kind == "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	contents := map[string]string{
		"usr/lib/ostree/prepare-root.conf": "[composefs]\nenabled = signed\n", "etc/kernel/cmdline": "quiet usrhash=1234",
		"usr/lib/bootc/kargs.d/10.toml": `kargs = ["composefs=abcd"]`, "usr/lib/bootc/kargs.d/20.toml": `kargs = ["quiet"]`,
		"etc/ostree/prepare-root.conf": "[composefs]\nenabled = yes\n",
	}
	open := func(p string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(contents[p])), nil }
	large := file("usr/lib/bootc/kargs.d/large", 1)
	large.Size = maxSealFile + 1
	for name, tc := range map[string]struct {
		tree   *tree.Tree
		labels map[string]string
		sealed bool
	}{
		"none":             {tree: treeOf(file("boot/initrd", 1), file("boot/efi/EFI/fedora/grubx64.efi", 1))},
		"a UKI":            {tree: treeOf(file("usr/lib/modules/6.12/vmlinuz-virt.efi", 1)), sealed: true},
		"a UKI on the ESP": {tree: treeOf(file("boot/efi/EFI/Linux/a.efi", 1)), sealed: true},
		"Android's":        {tree: treeOf(file("usr/lib/modules/6.12/aboot.img", 1)), sealed: true},
		"a label":          {tree: treeOf(), labels: map[string]string{"containers.composefs.fsverity": "x"}, sealed: true},
		"other labels":     {tree: treeOf(), labels: map[string]string{"containers.bootc": "1"}},
		"signed commits":   {tree: treeOf(file("usr/lib/ostree/prepare-root.conf", 1)), sealed: true},
		"composefs":        {tree: treeOf(file("etc/ostree/prepare-root.conf", 1))},
		"an argument":      {tree: treeOf(file("etc/kernel/cmdline", 1)), sealed: true},
		"another one":      {tree: treeOf(file("usr/lib/bootc/kargs.d/10.toml", 1)), sealed: true},
		"other arguments":  {tree: treeOf(file("usr/lib/bootc/kargs.d/20.toml", 1))},
		"not read":         {tree: treeOf(large), sealed: true},
	} {
		if got, err := Seal(tc.tree, tc.labels, open); err != nil || (got != "") != tc.sealed {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	failed := func(string) (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
	if _, err := Seal(treeOf(file("etc/kernel/cmdline", 1)), nil, failed); err == nil {
		t.Error("an error is lost")
	}
}
