package layer_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// No blob but the one that was written is taken for it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	full, contents := gallery()
	for _, c := range []layer.Compression{layer.Zstd, layer.Gzip} {
		good, blob := write(t, full, all(full), contents, c)
		read := func(b []byte, want layer.Blob) error {
			_, _, err := layer.Read(t.Context(), bytes.NewReader(b), want, tree.Limits{})
			return err
		}
		for at := 0; at < len(good); at += 1 + len(good)/100 {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(good)
				bad[at] ^= bit
				if err := read(bad, blob); !errors.Is(err, layer.ErrMismatch) {
					t.Errorf("%s, byte %d of %d changed: %v", c, at, len(good), err)
				}
			}
		}
		twice := append(bytes.Clone(good), good...)
		wrongDigest, wrongTarSize, wrongSize := blob, blob, blob
		wrongDigest.Digest, wrongTarSize.TarSize, wrongSize.Size = digest.FromString(""), blob.TarSize-1, blob.Size+1
		// Bytes that are right by digest, of another tar stream than was promised.
		twiceBlob := layer.Blob{Digest: digest.FromBytes(twice), Size: int64(len(twice)), TarSize: blob.TarSize}
		for name, err := range map[string]error{
			"trailing byte": read(append(bytes.Clone(good), 0), blob), "trailing layer": read(twice, blob), "nothing": read(nil, blob),
			"cut": read(good[:len(good)-1], blob), "digest": read(good, wrongDigest), "tar size": read(good, wrongTarSize),
			"size": read(good, wrongSize), "another stream": read(twice, twiceBlob),
		} {
			if !errors.Is(err, layer.ErrMismatch) {
				t.Errorf("%s, wrong %s: %v", c, name, err)
			}
		}
		_, _, err := layer.Read(t.Context(), io.MultiReader(bytes.NewReader(good), iotest.ErrReader(errFault)), blob, tree.Limits{})
		if !errors.Is(err, errFault) || errors.Is(err, layer.ErrMismatch) {
			t.Errorf("%s, reader fails at the end: %v", c, err)
		}
		if err := read(good, blob); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// Whatever the bytes, Read gives what was written or an error.
func FuzzRead(f *testing.F) {
	full, contents := gallery()
	good, blob := write(f, full, all(full), contents, layer.Zstd)
	f.Add(good)
	f.Add(Gzip(f, Tar(f, File("x", "y"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := layer.Read(t.Context(), bytes.NewReader(b), blob, tree.Limits{LayerBytes: 1 << 20})
		if (err == nil) != bytes.Equal(b, good) {
			t.Errorf("%v", err)
		}
	})
}

func TestParseCompression(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"zstd": true, "gzip": true, "": false, "ZSTD": false, "zstd:chunked": false, "none": false} {
		if c, err := layer.ParseCompression(name); (err == nil) != ok || ok && string(c) != name {
			t.Errorf("%q: %q, %v", name, c, err)
		}
	}
	if layer.Zstd.Encoder() == layer.Gzip.Encoder() || layer.Zstd.MediaType() == layer.Gzip.MediaType() {
		t.Error("zstd and gzip are not told apart")
	}
}
