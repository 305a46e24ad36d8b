package tree_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// links lists the hardlinks of a tree, "name > first name".
func links(t *tree.Tree) []string {
	var out []string
	for _, e := range t.Entries {
		if e.Link != "" && e.Link != e.Path {
			out = append(out, e.Path+" > "+e.Link)
		}
	}
	return out
}

func TestShare(t *testing.T) {
	t.Parallel()
	big, other := strings.Repeat("big ", tree.ShareMin/4), strings.Repeat("odd ", tree.ShareMin/4)
	later := time.Unix(1_800_000_000, 0)
	base := func(more ...Item) []Item {
		return append([]Item{Dir("."), Dir("usr"), Dir("usr/d"), File("usr/a", big), Dir("etc")}, more...)
	}
	byDir := func(p string) (string, error) { return path.Dir(p), nil }
	served := func(objects map[string]string) func(*tree.Entry) (string, bool) {
		return func(e *tree.Entry) (string, bool) { o, ok := objects[e.Path]; return o, ok }
	}
	cases := map[string]struct {
		items []Item
		opts  tree.ShareOptions
		want  []string
		n     int
	}{
		"identical": {items: base(File("usr/d/b", big), File("usr/c", big)),
			want: []string{"usr/c > usr/a", "usr/d/b > usr/a"}, n: 2},
		"too small":     {items: base(File("usr/s", big[1:]), File("usr/t", big[1:]))},
		"other content": {items: base(File("usr/b", other))},
		"other mode":    {items: base(File("usr/b", big).WithMode(0o600))},
		"other owner":   {items: base(File("usr/b", big).WithOwner(0, 1))},
		"other xattrs":  {items: base(File("usr/b", big).WithXattr("user.a", "b"))},
		"equal xattrs": {items: base(File("usr/b", big).WithXattr("user.a", "b"),
			File("usr/c", big).WithXattr("user.a", "b")),
			want: []string{"usr/c > usr/b"}, n: 1},
		"outside of usr": {items: base(File("etc/b", big), File("usr-x", big))},
		"a name outside": {items: base(File("etc/b", big), Hardlink("usr/b", "etc/b")), want: []string{"usr/b > etc/b"}},
		"a link already": {items: base(Hardlink("usr/b", "usr/a")), want: []string{"usr/b > usr/a"}},
		"two links": {items: base(Hardlink("usr/b", "usr/a"), File("usr/0", big), Hardlink("usr/d/1", "usr/0")),
			want: []string{"usr/a > usr/0", "usr/b > usr/0", "usr/d/1 > usr/0"}, n: 2},
		"other time":       {items: base(File("usr/b", big).WithTime(later)), want: []string{"usr/b > usr/a"}, n: 1},
		"other exact time": {items: base(File("usr/b", big).WithTime(later)), opts: tree.ShareOptions{Times: true}},
		"equal exact time": {items: base(File("usr/b", big)), opts: tree.ShareOptions{Times: true},
			want: []string{"usr/b > usr/a"}, n: 1},
		"labels": {items: base(File("usr/b", big), File("usr/d/b", big), File("usr/d/c", big)),
			opts: tree.ShareOptions{Label: byDir}, want: []string{"usr/b > usr/a", "usr/d/c > usr/d/b"}, n: 2},
		"a link across labels": {items: base(Hardlink("usr/d/b", "usr/a"), File("usr/d/c", big)),
			opts: tree.ShareOptions{Label: byDir},
			want: []string{"usr/d/b > usr/a"}},
		"served apart": {items: base(File("usr/b", big)),
			opts: tree.ShareOptions{Served: served(map[string]string{"usr/a": "", "usr/b": ""})}},
		"served linked": {items: base(File("usr/b", big), File("usr/c", big)),
			opts: tree.ShareOptions{Served: served(map[string]string{"usr/a": "", "usr/b": "1", "usr/c": "1"})},
			want: []string{"usr/c > usr/b"}, n: 1},
		"one is new": {items: base(File("usr/b", big), File("usr/c", big)),
			opts: tree.ShareOptions{Served: served(map[string]string{"usr/a": "", "usr/b": ""})},
			want: []string{"usr/b > usr/a", "usr/c > usr/a"}, n: 2},
		"the tree's links stay": {items: base(Hardlink("usr/b", "usr/a"), File("usr/c", big)),
			opts: tree.ShareOptions{Served: served(map[string]string{"usr/a": "", "usr/b": "1", "usr/c": "1"})},
			want: []string{"usr/b > usr/a", "usr/c > usr/a"}, n: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := Tree(t, c.items)
			got, n, err := tree.Share(given, c.opts)
			if err != nil || n != c.n {
				t.Errorf("%d files became links, want %d: %v", n, c.n, err)
			}
			if d := cmp.Diff(Tree(t, c.items), given); d != "" {
				t.Errorf("the tree that was given changed:\n%s", d)
			}
			if d := cmp.Diff(c.want, links(got)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			for _, e := range got.Entries {
				if e.Link != "" && !got.Lookup(e.Link).SameTime(&e) {
					t.Errorf("%s has another time than %s", e.Path, e.Link)
				}
			}
			if _, again, err := tree.Share(got, c.opts); again != 0 || err != nil {
				t.Errorf("a second time %d files became links: %v", again, err)
			}
		})
	}
}

// No group grows beyond what filesystems take, by whatever way its names come together.
func TestShareMost(t *testing.T) {
	t.Parallel()
	const names = 3 * tree.ShareMost
	for how, group := range map[string]func(i int) (link string, served string){
		"single files":  func(int) (string, string) { return "", "" },
		"two groups":    func(i int) (string, string) { return fmt.Sprintf("usr/%06d", i%2), "" },
		"small groups":  func(i int) (string, string) { return fmt.Sprintf("usr/%06d", i/7*7), "" },
		"served as one": func(int) (string, string) { return "", "one" },
		"groups and files": func(i int) (string, string) {
			return map[bool]string{true: "usr/000000"}[i < tree.ShareMost-1],
				""
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			given := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir}, {Path: "usr", Kind: tree.Dir}}}
			before := map[string]int{}
			var opts tree.ShareOptions
			for i := range names {
				e := tree.Entry{Path: fmt.Sprintf("usr/%06d", i), Kind: tree.Regular, Size: tree.ShareMin}
				var served string
				if e.Link, served = group(i); e.Link != "" {
					before[e.Link]++
				}
				if served != "" {
					opts.Served = func(*tree.Entry) (string, bool) { return served, true }
				}
				given.Entries = append(given.Entries, e)
			}
			got, _, err := tree.Share(given, opts)
			if err != nil {
				t.Fatal(err)
			}
			groups := map[string]int{}
			for _, e := range got.Entries[2:] {
				groups[e.Link]++
			}
			for name, n := range groups {
				if n > max(tree.ShareMost, before[name]) {
					t.Errorf("a group of %d names", n)
				}
			}
			if how == "single files" && len(groups) != 3 {
				t.Errorf("%d groups, want 3", len(groups))
			}
			if _, again, err := tree.Share(got, opts); again != 0 || err != nil {
				t.Errorf("a second time %d files became links: %v", again, err)
			}
		})
	}
}

func TestShareFails(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("big ", tree.ShareMin/4)
	items := []Item{Dir("."), Dir("usr"), File("usr/a", big), File("usr/b", big), File("usr/c", "x"+big),
		File("usr/d", "x"+big)}
	want, got := Tree(t, items), Tree(t, items)
	fault := errors.New("fault")
	asked := 0
	_, n, err := tree.Share(got, tree.ShareOptions{Label: func(string) (string, error) {
		if asked++; asked == 4 {
			return "", fault
		}
		return "", nil
	}})
	if n != 0 || !errors.Is(err, fault) || cmp.Diff(want, got) != "" {
		t.Errorf("%d, %v", n, err)
	}
}

// Names by the hundred thousand cost no more than a pass over them.
func BenchmarkShare(b *testing.B) {
	t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir}, {Path: "usr", Kind: tree.Dir}}}
	for i := range 100_000 {
		e := tree.Entry{Path: fmt.Sprintf("usr/%06d", i), Kind: tree.Regular, Size: tree.ShareMin, Mode: uint32(i % 3)}
		e.Digest[0] = byte(i % 5)
		t.Entries = append(t.Entries, e)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := tree.Share(t, tree.ShareOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
