package rechunk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

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
