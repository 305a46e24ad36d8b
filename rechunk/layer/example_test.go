package layer_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// A layer is written from a list and read back. Directories above the entries come with them.
func ExampleWrite() {
	contents := Contents{}
	t := &tree.Tree{Entries: []tree.Entry{
		{Path: ".", Kind: tree.Dir, Mode: 0o755},
		{Path: "etc", Kind: tree.Dir, Mode: 0o755},
		{Path: "etc/hostname", Kind: tree.Regular, Mode: 0o644, Size: 4, Digest: contents.Add("host")},
	}}
	list, err := layer.NewList(t, []int{2}, []string{"etc/motd"}, contents)
	if err != nil {
		fmt.Println(err)
		return
	}
	var blob bytes.Buffer
	written, err := layer.Write(context.Background(), &blob, list, layer.Zstd)
	if err != nil {
		fmt.Println(err)
		return
	}
	index, _, err := layer.Read(context.Background(), &blob, written, layer.Zstd, tree.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range index.Entries {
		fmt.Println(e.Path)
	}
	fmt.Println("without", index.Whiteouts)
	// Output:
	// .
	// etc
	// etc/hostname
	// without [etc/motd]
}

// Formats are known by name. What makes their bytes is recorded with every layer.
func ExampleParseFormat() {
	f, err := layer.ParseFormat("gzip")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Spec().MediaType)
	fmt.Println(f.Spec().Encoder.Settings)
	_, err = layer.ParseFormat("lz4")
	fmt.Println(err)
	// Output:
	// application/vnd.oci.image.layer.v1.tar+gzip
	// gzip level=7
	// format "lz4" is not known: use zstd, gzip or zstd:chunked
}
