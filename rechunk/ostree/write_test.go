package ostree_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/ostree"
	"github.com/strata-oci/strata/rechunk/ostree/ostreetest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// nasty adds to a random tree what random ones do not have.
func nasty(t *testing.T, r *Random, base *tree.Tree) *tree.Tree {
	long := strings.Repeat("n", 200)
	items := []Item{
		Dir("usr"), Dir("usr/lib"), Dir("usr-local"), Dir("sysroot"), Dir("etc"), Dir("etc/dir").WithMode(0o1777),
		Dir("var"),
		File("etc/dir/file", "x"), File("etc/empty", ""), File("usr/lib/empty", "").WithMode(0o6755),
		File("usr/lib/ümlaut\nand a line", "ü"), File("usr/lib/\"quoted\" \\", "y"), File("usr/lib/"+long, long),
		Symlink("usr/lib/long", strings.Repeat("far/", 60)), Symlink("lib", "usr/lib").WithOwner(3, 2_500_000),
		File("usr/lib/large", strings.Repeat("0123456789", 30_000)).WithOwner(4_000_000_000, 1),
		File("usr/lib/ima", "i").WithXattr("user.newline", "one\ntwo\x00\xff"),
		File("usr/lib/wide", "w").WithXattr("user.wide", strings.Repeat("v", 700)),
		Dir("usr/lib/attributed").WithXattr("user.dir", "d"), Dir("usr/lib/none"), Dir("tmp").WithMode(0o1777),
	}
	for i := range 300 { // an object of more than 64 KiB has wider offsets
		items = append(items, File(fmt.Sprintf("usr/lib/%s-%d", long, i), ""))
	}
	out := Tree(t, r.Layer(nil, base), items)
	for _, i := range items {
		if i.Size > 0 {
			r.Contents.Add(i.Body)
		}
	}
	return ostreetest.Committable(out)
}

// A commit has the checksum that the ostree command gives to the same tree with the same metadata.
func TestCommitAsOSTree(t *testing.T) {
	t.Parallel()
	n := 12
	if testing.Short() {
		n = 3
	}
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := NewRandom(uint64(seed))
			tr := nasty(t, r, r.Tree(20*seed))
			dir := t.TempDir()
			ostreetest.Disk(t, tr, r.Contents, dir)
			version := strings.Repeat("43.", 1+seed*30)
			want := ostreetest.Commit(t, dir, "--subject=ü"+strings.Repeat("s", seed*40),
				"--add-metadata-string=version="+version)
			c := ostree.Commit{Metadata: []ostree.Metadata{{Key: "version", Text: version}},
				Subject: "ü" + strings.Repeat("s", seed*40), Timestamp: 1_700_000_000}
			objects, err := c.Objects(tr, &ostreetest.Files{TB: t, Tree: tr, Contents: r.Contents})
			if err != nil {
				t.Fatal(err)
			}
			if got := objects[0].Sum.String(); got != want {
				t.Errorf("commit %s, ostree gives %s", got, want)
			}
		})
	}
}

// What ostree has no place for is refused.
func TestUnfit(t *testing.T) {
	t.Parallel()
	for name, items := range map[string][]Item{
		"fifo":        {Fifo("pipe")},
		"device":      {Char("usr/null", 1, 3)},
		"not UTF-8":   {File("usr/\xff", "x")},
		"two /etc":    {Dir("etc"), Dir("usr/etc")},
		"no /sysroot": {Symlink("sysroot", "usr")},
		"no /usr":     {Dir("etc")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := Tree(t, append([]Item{Dir("."), Dir("sysroot")}, items...))
			_, err := ostree.Commit{}.Objects(tr, zeros{})
			for i := range tr.Entries {
				if e := &tr.Entries[i]; e.Kind != tree.Dir && err == nil {
					_, err = ostree.NewHash(e, nil)
				}
			}
			if !errors.Is(err, ostree.ErrUnfit) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// An owner that has no place is refused; layers have none.
func TestUnfitOwner(t *testing.T) {
	t.Parallel()
	tr := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, UID: 1 << 33}, {Path: "sysroot", Kind: tree.Dir}}}
	if _, err := (ostree.Commit{}).Objects(tr, zeros{}); !errors.Is(err, ostree.ErrUnfit) {
		t.Errorf("error %v", err)
	}
}

// zeros gives each file the same object.
type zeros struct{}

func (zeros) Object(int) ostree.Checksum { return ostree.Checksum{} }
func (zeros) Attributes(int) []byte      { return nil }
