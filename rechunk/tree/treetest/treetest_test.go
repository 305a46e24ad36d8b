package treetest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// TestRandomRepeats makes everything twice from one seed.
func TestRandomRepeats(t *testing.T) {
	t.Parallel()
	type made struct {
		First, Second *tree.Tree
		Layers, Chaos []string
	}
	names := func(items []treetest.Item) []string {
		var out []string
		for _, i := range items {
			out = append(out, fmt.Sprintf("%c %s %s %q", i.Typeflag, i.Name, i.Linkname, i.Body))
		}
		return out
	}
	run := func() made {
		r := treetest.NewRandom(42)
		first := r.Tree(300)
		second := r.Edit(first, 100)
		return made{first, second, names(append(r.Layer(nil, first), r.Layer(first, second)...)), names(r.Chaos(30))}
	}
	a, b := run(), run()
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("the second time differs:\n%s", d)
	}
	if len(a.First.Entries) < 300 || len(tree.Diff(a.First, a.Second, tree.DiffOptions{})) < 50 {
		t.Error("too little was made")
	}
	kinds := map[string]bool{}
	for _, e := range a.First.Entries {
		kinds[e.Kind.String()] = true
		kinds["hardlink"] = kinds["hardlink"] || e.Link != ""
		kinds["xattr"] = kinds["xattr"] || e.Xattrs != nil
	}
	if len(kinds) < 7 {
		t.Errorf("only %v", kinds)
	}
}

func TestReferenceRefuses(t *testing.T) {
	t.Parallel()
	for name, layers := range map[string][][]treetest.Item{
		"link to nothing": {{treetest.Hardlink("a", "b")}},
		"below a file":    {{treetest.File("a", ""), treetest.File("a/b", "")}},
		"two names":       {{treetest.Symlink("s", "d")}, {treetest.File("d/a", ""), treetest.File("s/a", "")}},
	} {
		if got, err := treetest.Reference(layers...); err == nil {
			t.Errorf("%s: %v", name, got.Entries)
		}
	}
}
