package layer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// capability is a value of security.capability with NUL bytes: CAP_NET_RAW, permitted and effective.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

var longName = "d/" + strings.Repeat("long-", 40) + "/" + strings.Repeat("name-", 40)

// gallery is a tree with one of everything that a layer can hold.
func gallery() (*tree.Tree, Contents) {
	contents := Contents{}
	file := func(p, body string) tree.Entry {
		return tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Size: int64(len(body)), Digest: contents.Add(body),
			Sec: 1_700_000_000}
	}
	change := func(e tree.Entry, f func(*tree.Entry)) tree.Entry { f(&e); return e }
	dir := func(p string) tree.Entry { return tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755, Sec: 1_600_000_000} }
	linked := func(e *tree.Entry) { e.Link = "d/link-a" }
	entries := []tree.Entry{
		dir("."), dir("d"), dir(tree.Parent(longName)), dir("dev"), dir("empty"),
		file(longName, "long"), file("d/é", "latin"), file("d/\xff\xfe", "no UTF-8"), file("d/ ", ""), file("-", "dash"),
		change(file("d/caps", "program"), func(e *tree.Entry) {
			e.Mode = 0o6755
			e.Xattrs = []tree.Xattr{{Name: "security.capability", Value: capability}, {Name: "user.empty"},
				{Name: "user.é", Value: "\n\xff"}}
		}),
		change(file("d/link-a", "shared"), linked), change(file("d/link-b", "shared"), linked),
		change(file("d/z/link", "shared"), linked),
		dir("d/z"),
		change(file("d/big-ids", "x"), func(e *tree.Entry) { e.UID, e.GID = 1<<31-2, 1<<31-1 }),
		change(file("d/fraction", "x"), func(e *tree.Entry) { e.Nsec = 123_456_789 }),
		change(file("d/before", "x"), func(e *tree.Entry) { e.Sec = -1 }),
		change(file("d/just-before", "x"), func(e *tree.Entry) { e.Sec, e.Nsec = -5, 250_000_000 }),
		change(file("d/far", "x"), func(e *tree.Entry) { e.Sec = 1 << 40 }),
		{Path: "d/symlink", Kind: tree.Symlink, Mode: 0o777, Target: "../" + strings.Repeat("x", 200)},
		{Path: "dev/null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3},
		{Path: "dev/sda", Kind: tree.Block, Mode: 0o660, Major: 8, Minor: 1 << 19},
		{Path: "dev/pipe", Kind: tree.Fifo, Mode: 0o600},
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return &tree.Tree{Entries: entries}, contents
}

// held is what a layer holds: positions of a tree's entries, and whiteouts.
type held struct {
	Entries   []int
	Whiteouts []string
}

func (h *held) list(t *tree.Tree, c tree.Contents) (*layer.List, error) {
	return layer.NewList(t, h.Entries, h.Whiteouts, c)
}

// writeTo writes a layer with w.
func writeTo(ctx context.Context, w layer.Writer, dst io.Writer, t *tree.Tree, h *held, c tree.Contents) (layer.Blob,
	error) {
	l, err := h.list(t, c)
	if err != nil {
		return layer.Blob{}, err
	}
	return w.Write(ctx, dst, l)
}

// writeOne writes a layer with a writer of its own.
func writeOne(ctx context.Context, dst io.Writer, t *tree.Tree, h *held, c tree.Contents, f layer.Format) (layer.Blob,
	error) {
	l, err := h.list(t, c)
	if err != nil {
		return layer.Blob{}, err
	}
	return layer.Write(ctx, dst, l, f)
}

// pick is a layer of the named entries.
func pick(tb testing.TB, t *tree.Tree, paths ...string) *held {
	tb.Helper()
	l := &held{}
	for _, p := range paths {
		i, ok := t.Find(p)
		if !ok {
			tb.Fatalf("no entry %q", p)
		}
		l.Entries = append(l.Entries, i)
	}
	slices.Sort(l.Entries)
	return l
}

// all is a layer of everything.
func all(t *tree.Tree) *held {
	l := &held{}
	for i := range t.Entries {
		l.Entries = append(l.Entries, i)
	}
	return l
}

func write(tb testing.TB, t *tree.Tree, l *held, c tree.Contents, z layer.Format) ([]byte, layer.Blob) {
	tb.Helper()
	var b bytes.Buffer
	blob, err := writeOne(context.Background(), &b, t, l, c, z)
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes(), blob
}

// unpack reads a layer by other code than the package's.
func unpack(tb testing.TB, b []byte) []Item {
	tb.Helper()
	plain, err := rechunktest.Unpack(b)
	if err != nil {
		tb.Fatal(err)
	}
	items, err := rechunktest.Items(plain)
	if err != nil {
		tb.Fatal(err)
	}
	return items
}

// noise is a content of n bytes that compresses to about half.
func noise(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[rng.IntN(16)]
	}
	return string(b)
}

// text is a content of about n bytes that compresses well.
func text(n int) string {
	rng := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %d, %s of %x\n", strings.Repeat("very ", rng.IntN(4)), rng.IntN(1000),
			strings.Repeat("sum", rng.IntN(3)), rng.Uint32())
	}
	return b.String()
}
