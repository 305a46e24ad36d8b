package scan_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

func scanInline(t *testing.T, lim tree.Limits, items ...treetest.Item) *tree.Index {
	t.Helper()
	s, err := scan.Layer(t.Context(), bytes.NewReader(treetest.Tar(t, items...)), scan.Options{
		Inline: func(p string) bool { return strings.HasPrefix(p, "db/") }, Limits: lim,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Index
}

func TestInlineContentsComeBackFromTheIndex(t *testing.T) {
	t.Parallel()
	x := scanInline(t, tree.Limits{}, treetest.File("db/a", "alpha"), treetest.File("db/b", "beta"),
		treetest.File("db/c", "alpha"),
		treetest.File("other", "gamma"))
	if len(x.Inline) != 2 {
		t.Fatalf("%d inline contents, want 2", len(x.Inline))
	}
	var stored bytes.Buffer
	if _, err := x.WriteTo(&stored); err != nil {
		t.Fatal(err)
	}
	back, err := tree.ReadIndex(&stored, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range back.Entries {
		e := &back.Entries[i]
		got, ok := back.InlineContent(e.Digest)
		want := map[string]string{"db/a": "alpha", "db/b": "beta", "db/c": "alpha"}[e.Path]
		if ok != (want != "") || string(got) != want {
			t.Errorf("%s: %q, %t", e.Path, got, ok)
		}
	}
}

func TestInlineContentsAreBounded(t *testing.T) {
	t.Parallel()
	x := scanInline(t, tree.Limits{InlineBytes: 8}, treetest.File("db/a", "12345"), treetest.File("db/b", "67890"),
		treetest.File("db/c", "abc"))
	if len(x.Inline) != 2 {
		t.Errorf("%d inline contents, want the two that fit into 8 bytes", len(x.Inline))
	}
	large := scanInline(t, tree.Limits{}, treetest.File("db/a", strings.Repeat("x", tree.MaxInline+1)))
	if len(large.Inline) != 0 {
		t.Error("a content above MaxInline was carried")
	}
}

func TestInlineContentsAreVerified(t *testing.T) {
	t.Parallel()
	x := scanInline(t, tree.Limits{}, treetest.File("db/a", "alpha"))
	x.Inline[0].Content = []byte("alphA")
	if _, err := x.WriteTo(&bytes.Buffer{}); !errors.Is(err, tree.ErrInvalid) {
		t.Errorf("WriteTo: %v, want ErrInvalid", err)
	}
}
