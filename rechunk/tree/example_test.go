package tree_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/tree"
)

// file is the entry of a regular file.
func file(path, content string) *tree.Entry {
	return &tree.Entry{Path: path, Kind: tree.Regular, Mode: 0o644, Size: int64(len(content)),
		Digest: sha256.Sum256([]byte(content))}
}

// layers makes the indexes of two layers: one with three files, and one that changes, removes and links.
func layers() []*tree.Index {
	budget := tree.NewBudget(tree.Limits{})
	lower := tree.NewBuilder(budget)
	defer lower.Close()
	for _, e := range []*tree.Entry{
		{Path: "usr", Kind: tree.Dir, Mode: 0o755}, file("usr/hello", "hello"), file("usr/old", "old"),
		{Path: "bin", Kind: tree.Symlink, Mode: 0o777, Target: "usr"},
	} {
		if err := lower.Add(e); err != nil {
			panic(err)
		}
	}
	upper := tree.NewBuilder(budget)
	defer upper.Close()
	if err := upper.Add(file("usr/hello", "hello, world")); err != nil {
		panic(err)
	}
	if _, err := upper.Hide("usr/.wh.old"); err != nil {
		panic(err)
	}
	if err := upper.Link("bin/hi", "usr/hello"); err != nil {
		panic(err)
	}
	var out []*tree.Index
	for _, b := range []*tree.Builder{lower, upper} {
		x, err := b.Index()
		if err != nil {
			panic(err)
		}
		out = append(out, x)
	}
	return out
}

// A builder takes the headers of a layer in the order of its archive.
func ExampleBuilder() {
	upper := layers()[1]
	for _, e := range upper.Entries {
		fmt.Println(e.Kind, e.Path, e.Size)
	}
	fmt.Println("hides", upper.Whiteouts)
	// Output:
	// file bin/hi 12
	// file usr/hello 12
	// hides [usr/old]
}

// Layers are applied from the lowest to the highest. A symlink of a lower layer is followed: bin/hi lies in usr.
func ExampleFlatten() {
	t, err := tree.Flatten(context.Background(), layers(), tree.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range t.Entries {
		fmt.Printf("%s %q %q\n", e.Kind, e.Path, e.Link)
	}
	// Output:
	// directory "." ""
	// symlink "bin" ""
	// directory "usr" ""
	// file "usr/hello" "usr/hello"
	// file "usr/hi" "usr/hello"
}

// Two trees are the same filesystem when there is no difference. Modification times only count when they are asked for.
func ExampleDiff() {
	ctx, both := context.Background(), layers()
	before, _ := tree.Flatten(ctx, both[:1], tree.Limits{})
	after, _ := tree.Flatten(ctx, both, tree.Limits{})
	for _, d := range tree.Diff(before, after, tree.DiffOptions{}) {
		fmt.Println(d.Path, d.What)
	}
	// Output:
	// usr/hello content
	// usr/hello hardlinks
	// usr/hi added
	// usr/old missing
}

// An index is stored, so that its layer need not be read again.
func ExampleReadIndex() {
	var stored bytes.Buffer
	if _, err := layers()[0].WriteTo(&stored); err != nil {
		fmt.Println(err)
		return
	}
	x, err := tree.ReadIndex(&stored, tree.Limits{})
	fmt.Println(len(x.Entries), "entries,", err)
	// Output: 4 entries, <nil>
}

// All layers of an image share one budget. What is over it says so, and can be told from a layer that is broken.
func ExampleBudget() {
	budget := tree.NewBudget(tree.Limits{Memory: 1000})
	for n := range 10 {
		b := tree.NewBuilder(budget)
		err := b.Add(file(fmt.Sprint("file-", n), ""))
		if err == nil {
			_, err = b.Index()
		}
		b.Close()
		if errors.Is(err, tree.ErrLimit) {
			fmt.Println("layer", n, "is one too many:", err)
			break
		}
	}
	// Output: layer 1 is one too many: limit exceeded: bytes of memory for the image's paths and attributes, at most 1000
}

// Identical files become hardlinks, in a new tree.
func ExampleShare() {
	large := string(bytes.Repeat([]byte("large "), 20_000))
	t := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir}, {Path: "usr", Kind: tree.Dir}, *file("usr/a", large), *file("usr/b", large),
		*file("usr/c", "small"),
	}}
	shared, linked, err := tree.Share(t, tree.ShareOptions{})
	fmt.Println(linked, err)
	fmt.Println(shared.Lookup("usr/b").Link, t.Lookup("usr/b").Link == "")
	// Output:
	// 1 <nil>
	// usr/a true
}
