package rechunk_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

const objects = "sysroot/ostree/repo/objects/"

// attributes is a GVariant a(ayay) of security.selinux=label and user.one=1.
const attributes = "security.selinux\x00label\x11" + "user.one\x001\x09" + "\x17\x22"

// An ostree-encapsulated image is served as a plain one: no object store, no labels that announce it, and the attributes
// that ostree keeps in objects of their own are back on the files.
func TestEncapsulated(t *testing.T) {
	t.Parallel()
	objectLayer := []Item{
		Dir("."), Dir("sysroot"), Dir("sysroot/ostree"), Dir("sysroot/ostree/repo"), Dir("sysroot/ostree/repo/objects"),
		File(objects+"aa/bb.file-xattrs-link", attributes), File(objects+"aa/bb.file", "program").WithMode(0o755),
		File(objects+"ee/ff.file", "text"), File(objects+"11/22.commit", "commit"),
	}
	chunk := []Item{
		Dir("usr"), Dir("usr/bin"), Hardlink("usr/bin/a", objects+"aa/bb.file"), Hardlink("usr/bin/b", objects+"aa/bb.file"),
		Dir("etc"), Hardlink("etc/conf", objects+"ee/ff.file"),
	}
	img := rechunktest.NewImage(t, rechunktest.ImageOptions{
		Labels: map[string]string{
			"containers.bootc": "1", "ostree.bootable": "true", "ostree.commit": "0", "ostree.final-diffid": "sha256:1",
			"version": "43.1",
		},
		Annotations: map[string]string{"ostree.commit": "0", "ostree.final-diffid": "sha256:1",
			"org.opencontainers.image.title": "os"},
	}, objectLayer, chunk)
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for range 2 { // the second time from the index of a known layer
		_, s := b.serve(t, img, rules)
		same(t, reference(t, []Item{
			Dir("."), Dir("sysroot"), Dir("usr"), Dir("usr/bin"), Dir("etc"), File("etc/conf", "text"),
			File("usr/bin/a", "program").WithMode(0o755).WithXattr("user.one", "1"), Hardlink("usr/bin/b", "usr/bin/a"),
		}), s.Tree, false)
		for name, want := range map[string]bool{
			"containers.bootc": true, "ostree.bootable": true, "version": true, "ostree.commit": false,
			"ostree.final-diffid": false,
		} {
			if _, ok := s.Config.Config.Labels[name]; ok != want {
				t.Errorf("label %s: %t", name, ok)
			}
		}
		if _, ok := s.Manifest.Annotations["ostree.commit"]; ok ||
			s.Manifest.Annotations["org.opencontainers.image.title"] != "os" {
			t.Errorf("annotations: %v", s.Manifest.Annotations)
		}
		b.store.DeleteRecords(rechunk.KindServed)
	}
}

// What a real ostree committed keeps the attributes of its directories and empty files, also when its layers are known by
// their indexes alone, and verify would notice if it did not.
func TestEncapsulatedAttributes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "usr/etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"usr/empty": "", "usr/etc/empty": "", "usr/file": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr", "usr/etc", "usr/empty", "usr/file"} {
		if err := syscall.Setxattr(filepath.Join(dir, name), "user.name", []byte(name), 0); err != nil {
			t.Skipf("no attributes here: %v", err)
		}
	}
	commit, layers := ostreetest.Encapsulate(t, dir)
	img := rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: map[string]string{
		"containers.bootc": "1", "ostree.commit": commit, "ostree.final-diffid": "sha256:1",
	}}, layers[:]...)
	b := newBench(t, &rechunktest.MemoryStore{}, 2)
	for range 2 { // the second time from the index of a known layer
		_, s := b.serve(t, img, rules)
		for path, want := range map[string]string{
			"usr": "usr", "etc": "usr/etc", "usr/empty": "usr/empty", "usr/file": "usr/file", "etc/empty": "",
		} {
			if got, _ := s.Tree.Lookup(path).Xattr("user.name"); got != want {
				t.Errorf("%s has the attribute %q, want %q", path, got, want)
			}
		}
		b.store.DeleteRecords(rechunk.KindServed)
	}
}

// Some images are passed through by their nature, and nothing is stored of them.
func TestPassThrough(t *testing.T) {
	t.Parallel()
	files := system("1", stamp)
	sealed := append(system("1", stamp), Dir("boot"), Dir("boot/EFI"), Dir("boot/EFI/Linux"),
		File("boot/EFI/Linux/6.1.EFI", "MZ"))
	always := rules
	always.Always = true
	elsewhere := rules
	elsewhere.Platforms = []string{"linux/arm64", "linux/s390x"}
	cases := map[string]struct {
		options rechunktest.ImageOptions
		items   []Item
		rules   rechunk.Options
		pass    bool
	}{
		"bootable":                   {rechunktest.ImageOptions{}, files, rules, false},
		"not bootable":               {rechunktest.ImageOptions{Labels: map[string]string{"a": "b"}}, files, rules, true},
		"not bootable, but always":   {rechunktest.ImageOptions{Labels: map[string]string{"a": "b"}}, files, always, false},
		"sealed":                     {rechunktest.ImageOptions{}, sealed, rules, true},
		"sealed and always":          {rechunktest.ImageOptions{}, sealed, always, true},
		"platform is not configured": {rechunktest.ImageOptions{}, files, elsewhere, true},
		"platform is configured": {rechunktest.ImageOptions{Platform: ocispec.Platform{OS: "linux", Architecture: "arm64",
			Variant: "v8"}},
			files, elsewhere, false},
		"artifact": {rechunktest.ImageOptions{MediaType: "text/plain", Compress: Gzip}, files, always, true},
		"foreign": {rechunktest.ImageOptions{
			MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Compress: Gzip}, files, always, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			_, err := b.Rechunk(t.Context(), rechunktest.NewImage(t, c.options, c.items).Request("test", c.rules))
			if errors.Is(err, rechunk.ErrPassThrough) != c.pass || !c.pass && err != nil {
				t.Errorf("%v", err)
			}
			if n := len(b.store.Records(rechunk.KindServed)) + len(b.store.Records(rechunk.KindLineage)); c.pass && n > 0 {
				t.Errorf("%d records", n)
			}
		})
	}
}

// An image that is rechunked only because it always is keeps what it has in /sysroot.
func TestSysrootStaysInOtherImages(t *testing.T) {
	t.Parallel()
	items := []Item{Dir("."), Dir("sysroot"), File("sysroot/file", "x")}
	o := rules
	o.Always = true
	b := newBench(t, &rechunktest.MemoryStore{}, 1)
	_, s := b.serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{Labels: map[string]string{"ostree.commit": "1"}},
		items), o)
	same(t, reference(t, items), s.Tree, true)
	if s.Config.Config.Labels["ostree.commit"] != "1" {
		t.Error("the label went")
	}
}
