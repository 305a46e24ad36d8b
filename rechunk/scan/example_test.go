package scan_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// blob is a layer of one directory and one file.
func blob() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o755})
	_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./etc/motd", Mode: 0o644, Size: 8})
	_, _ = io.WriteString(w, "welcome\n")
	_ = w.Close()
	_ = z.Close()
	return b.Bytes()
}

// A layer is read once: its index says what it holds, its contents go into a spool.
func ExampleLayer() {
	spool, err := scan.NewSpool(os.TempDir(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer spool.Close()
	s, err := scan.Layer(context.Background(), bytes.NewReader(blob()), scan.Options{Spool: spool, DiffID: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range s.Index.Entries {
		fmt.Println(e.Kind, e.Path, e.Size)
	}
	r, err := spool.Open(s.Index.Entries[1].Digest)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	content, _ := io.ReadAll(r)
	fmt.Printf("%s", content)
	// Output:
	// directory etc 0
	// file etc/motd 8
	// welcome
}

// What is wrong with a layer is told from what is wrong with its source.
func ExampleLayer_damaged() {
	_, err := scan.Layer(context.Background(), bytes.NewReader(blob()[:60]), scan.Options{})
	fmt.Println(errors.Is(err, tree.ErrInvalid))
	// Output: true
}

// One decoder reads layer after layer with the same buffers.
func ExampleDecoder() {
	var d scan.Decoder
	defer d.Close()
	for range 2 {
		s, err := scan.Layer(context.Background(), bytes.NewReader(blob()), scan.Options{Decoder: &d})
		fmt.Println(s.Index.TarSize, err)
	}
	// Output:
	// 2560 <nil>
	// 2560 <nil>
}
