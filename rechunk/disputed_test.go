package rechunk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// What bootc reads in the source's form alone, if in any, is served in that; it is in images for it only that this counts.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	object := func(attributes string) [][]Item {
		return [][]Item{{Dir("."), Dir("sysroot"), Dir("sysroot/ostree"), Dir("sysroot/ostree/repo"),
			Dir("sysroot/ostree/repo/objects"), File(objects+"aa/bb.file-xattrs-link", attributes),
			File(objects+"aa/bb.file", "x"), Dir("usr"), Hardlink("usr/x", objects+"aa/bb.file")}}
	}
	plain := func(name, value string) [][]Item {
		return [][]Item{{Dir("."), Dir("usr"), File("usr/x", "x").WithXattr(name, value)}}
	}
	other := rechunktest.ImageOptions{Labels: map[string]string{"a": "b"}}
	always := rules
	always.Always = true
	for name, c := range map[string]struct {
		options rechunktest.ImageOptions
		layers  [][]Item
		why     string // empty for an image that is rechunked
	}{
		"a line break": {rechunktest.ImageOptions{}, plain("security.ima", "\x03\n"),
			`"usr/x" has a line break`},
		"not for bootc": {other, plain("security.ima", "\x03\n"), ""},
		"none":          {rechunktest.ImageOptions{}, plain("security.ima", "\x03\x00=\xff"), ""},
		"encapsulated: a line break": {rechunktest.ImageOptions{}, object("user.a\x00x\n\x07\x0a"),
			"a line break in its value"},
		"encapsulated: a line break in name": {rechunktest.ImageOptions{}, object("us\nr.a\x00xy\x07\x0a"),
			"a line break in its name"},
		"encapsulated: = in the name": {rechunktest.ImageOptions{}, object("user=a\x00xy\x07\x0a"),
			"a = in its name"},
		"encapsulated: a name in Latin-1": {rechunktest.ImageOptions{}, object("user.\xe9\x00xy\x07\x0a"), "not UTF-8"},
		"encapsulated: a line break, of SELinux": {rechunktest.ImageOptions{},
			object("security.selinux\x00x\n\x11\x14"), ""},
		"encapsulated: none": {rechunktest.ImageOptions{}, object("user.a\x00x\xff\x07\x0a"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			img := rechunktest.NewImage(t, c.options, c.layers...)
			for range 2 {
				_, err := b.Rechunk(t.Context(), img.Request("test", always))
				switch {
				case c.why == "" && err != nil:
					t.Error(err)
				case c.why != "" && (!errors.Is(err, rechunk.ErrPassThrough) || !strings.Contains(err.Error(), c.why) ||
					!strings.Contains(err.Error(), "with format: ostree it is rechunked")):
					t.Errorf("got %v, want ErrPassThrough for %q", err, c.why)
				}
			}
			i, err := b.Inspect(t.Context(), img.Request("", rechunk.Options{}))
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			if err := i.AsItIs(t.Context()); errors.Is(err, rechunk.ErrPassThrough) != (c.why != "") {
				t.Errorf("whoever inspects it is told: %v", err)
			}
		})
	}
}

// What clients take for different things is served as it is, also when the image comes again, and its neighbours are not.
func TestDisputed(t *testing.T) {
	t.Parallel()
	base := []Item{Dir("."), Dir("usr"), Dir("usr/lib"), File("usr/lib/x", "x"), Symlink("lib", "usr/lib"),
		Symlink("void", "nothing")}
	for name, c := range map[string]struct {
		upper []Item
		why   string // empty for an image that is rechunked
	}{
		"below a symlink":          {[]Item{File("lib/y", "y")}, ""},
		"directory over a symlink": {[]Item{Dir("lib"), File("lib/y", "y")}, "where a lower layer has a symlink"},
		"directory over a symlink, deep": {[]Item{Dir("lib"), Dir("lib/z"), Whiteout("usr/lib/x")},
			"where a lower layer has a symlink"},
		"directory for a whited out symlink": {[]Item{Whiteout("lib"), Dir("lib"), File("lib/y", "y")}, ""},
		"symlink over a symlink":             {[]Item{Symlink("lib", "usr")}, ""},
		"below a symlink to nothing":         {[]Item{File("void/y", "y")}, "leads nowhere"},
		"missing parents":                    {[]Item{File("opt/a/b", "y")}, ""},
		"whiteout of nothing":                {[]Item{Whiteout("usr/nothing")}, ""},
		"whiteout in nothing":                {[]Item{Whiteout("no/such/file")}, "which is not there"},
		"whiteout in a new directory":        {[]Item{Dir("new"), Whiteout("new/file")}, ""},
		"whiteout below a symlink":           {[]Item{Whiteout("lib/x")}, ""},
		"opaque nothing":                     {[]Item{Opaque("no")}, "which is not there"},
		"opaque directory":                   {[]Item{Opaque("usr/lib")}, ""},
		"hardlink with another header": {[]Item{File("a", "a"), Hardlink("b", "a").WithMode(0o600).WithOwner(5, 5)},
			""},
		"hardlink into a lower layer": {[]Item{Hardlink("b", "usr/lib/x")}, ""},
		"aufs": {[]Item{Dir(".wh..wh.plnk"), File(".wh..wh.plnk/1.2", "p"),
			Hardlink("p", ".wh..wh.plnk/1.2")}, "aufs"},
		"aufs below": {[]Item{File("usr/.wh..wh.aufs", "")}, "aufs"},
		"libarchive's attribute": {[]Item{File("a", "").WithPAX("LIBARCHIVE.xattr.user.a", "YmFy")},
			"libarchive"},
		"both attributes": {[]Item{File("a", "").WithPAX("LIBARCHIVE.xattr.user.a",
			"YmFy").WithXattr("user.a", "baz")}, ""},
		"opaque by attribute": {[]Item{Dir("store").WithXattr("trusted.overlay.opaque", "y"),
			File("store/a", "a")}, "trusted.overlay.opaque"},
		"redirect by attribute": {[]Item{Dir("store").WithXattr("user.overlay.redirect", "/usr")},
			"user.overlay.redirect"},
		"whiteout by attribute": {[]Item{File("w", "").WithXattr("user.overlay.whiteout", "")},
			"user.overlay.whiteout"},
		"whiteout by device": {[]Item{Char("w", 0, 0)}, "0:0"},
		"another attribute":  {[]Item{File("w", "").WithXattr("user.overlayed", "y")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			img := source(t, base, c.upper)
			for range 2 {
				_, err := b.Rechunk(t.Context(), img.Request("test", rules))
				switch {
				case c.why == "" && err != nil:
					t.Error(err)
				case c.why != "" && (!errors.Is(err, rechunk.ErrPassThrough) || !strings.Contains(err.Error(), c.why)):
					t.Errorf("got %v, want ErrPassThrough for %q", err, c.why)
				}
			}
		})
	}
}
