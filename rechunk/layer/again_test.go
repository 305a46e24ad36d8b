package layer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/scan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Of a layer's tar stream, the encoder that its record names makes the same blob again.
func TestCompressAgain(t *testing.T) {
	t.Parallel()
	of, contents := tellable()
	for _, f := range layer.Formats() {
		want, blob := write(t, of, all(of), contents, f)
		named, ok := layer.EncoderNamed(f.Spec().Encoder.String())
		if !ok || named != f {
			t.Fatalf("%s: %v, %t", f.Spec().Encoder, named, ok)
		}
		stream, err := scan.Decompress(bytes.NewReader(want), tree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		again, err := layer.Compress(t.Context(), &got, iotest.OneByteReader(stream), f)
		if err != nil || again.Size != blob.Size || again.TarSize != blob.TarSize || !bytes.Equal(got.Bytes(), want) ||
			!maps.Equal(again.Annotations, blob.Annotations) {
			t.Errorf("%s: %+v, was %+v; same bytes: %t, %v", f.Spec().Name, again, blob, bytes.Equal(got.Bytes(), want), err)
		}
	}
}

func TestCompressFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	if _, err := layer.Compress(t.Context(), io.Discard, iotest.ErrReader(boom), layer.Zstd); !errors.Is(err, boom) {
		t.Error(err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	if _, err := layer.Compress(ended, io.Discard, strings.NewReader("x"), layer.Zstd); !errors.Is(err, boom) {
		t.Error(err)
	}
	for _, name := range []string{"", "zstd", "klauspost/compress v0.0.1 zstd level=better window=8MiB crc"} {
		if f, ok := layer.EncoderNamed(name); ok {
			t.Errorf("%q is %v", name, f)
		}
	}
}

// A layer's blob is made again of its tar stream by the encoder that is recorded with it.
func ExampleCompress() {
	recorded := layer.Gzip.Spec().Encoder.String()
	format, ok := layer.EncoderNamed(recorded)
	if !ok {
		fmt.Println("another build made this layer")
		return
	}
	blob, err := layer.Compress(context.Background(), io.Discard, strings.NewReader(strings.Repeat("\x00", 1024)), format)
	fmt.Println(blob.TarSize, blob.Size < 100, err)
	// Output: 1024 true <nil>
}

// What comes of a stream that breaks off is the beginning of its blob, not one that looks complete.
func TestCompressBreaksOff(t *testing.T) {
	t.Parallel()
	stream := make([]byte, 3<<20)
	for i := range stream {
		stream[i] = byte(i * i >> 7)
	}
	failure := errors.New("it broke")
	for _, f := range layer.Formats() {
		var whole, part bytes.Buffer
		if _, err := layer.Compress(t.Context(), &whole, bytes.NewReader(stream), f); err != nil {
			continue // no format of a stream
		}
		for _, n := range []int{0, 1000, 1 << 20, len(stream)} {
			part.Reset()
			broken := io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(failure))
			if _, err := layer.Compress(t.Context(), &part, broken, f); !errors.Is(err, failure) ||
				!bytes.HasPrefix(whole.Bytes(), part.Bytes()) || part.Len() == whole.Len() {
				t.Errorf("%s after %d: %d bytes of %d, %v", f.Spec().Name, n, part.Len(), whole.Len(), err)
			}
		}
	}
}
