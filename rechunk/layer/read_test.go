package layer_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// No blob but the one that was written is taken for it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	for _, c := range layer.Formats() {
		good, blob := write(t, full, all(full), contents, c)
		index, diff, err := layer.Read(t.Context(), bytes.NewReader(good), blob, c, tree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		read := func(b []byte, want layer.Blob) error {
			x, d, err := layer.Read(t.Context(), bytes.NewReader(b), want, c, tree.Limits{})
			if err == nil && (d != diff || !cmp.Equal(x, index)) {
				return errors.New("taken, and other than what was written")
			}
			return err
		}
		for at := 0; at < len(good); at += 1 + len(good)/100 {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(good)
				bad[at] ^= bit
				// Some bits of headers mean nothing.
				if err := read(bad, blob); err != nil && !errors.Is(err, layer.ErrMismatch) {
					t.Errorf("%s, byte %d of %d changed: %v", c, at, len(good), err)
				}
			}
		}
		twice := append(bytes.Clone(good), good...)
		wrongTarSize, wrongSize := blob, blob
		wrongTarSize.TarSize, wrongSize.Size = blob.TarSize-1, blob.Size+1
		twiceBlob := layer.Blob{Size: int64(len(twice)), TarSize: blob.TarSize}
		for name, err := range map[string]error{
			"trailing byte": read(append(bytes.Clone(good), 0), blob), "trailing layer": read(twice, blob),
			"nothing": read(nil, blob),
			"cut":     read(good[:len(good)-1], blob), "tar size": read(good, wrongTarSize),
			"size": read(good, wrongSize), "another stream": read(twice, twiceBlob),
		} {
			if !errors.Is(err, layer.ErrMismatch) {
				t.Errorf("%s, wrong %s: %v", c, name, err)
			}
		}
		_, _, err = layer.Read(t.Context(), io.MultiReader(bytes.NewReader(good), iotest.ErrReader(errFault)), blob, c,
			tree.Limits{})
		if !errors.Is(err, errFault) || errors.Is(err, layer.ErrMismatch) {
			t.Errorf("%s, reader fails at the end: %v", c, err)
		}
		if err := read(good, blob); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// Whatever the bytes, Read gives what was written, something of another diff_id or an error.
func FuzzRead(f *testing.F) {
	full, contents := gallery()
	good, blob := write(f, full, all(full), contents, layer.Zstd)
	index, diff, err := layer.Read(f.Context(), bytes.NewReader(good), blob, layer.Zstd, tree.Limits{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(Gzip(f, Tar(f, File("x", "y"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, d, err := layer.Read(t.Context(), bytes.NewReader(b), blob, layer.Zstd, tree.Limits{LayerBytes: 1 << 20})
		if err == nil && d == diff && !cmp.Equal(x, index) || err != nil && bytes.Equal(b, good) {
			t.Errorf("%s, %v", d, err)
		}
	})
}
