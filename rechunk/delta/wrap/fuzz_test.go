package wrap_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// FuzzParse: whatever the bytes are, parts lie in them, ascend, and are within limits; and decoding ends within limits, too.
func FuzzParse(f *testing.F) {
	plain := file(f, "plain")[:700]
	for _, name := range []string{"single.xz", "threads.xz", "blocks.xz", "x86.xz", "empty.xz", "two.xz", "untold.zst",
		"plain.bz2"} {
		f.Add(file(f, name))
	}
	f.Add(gzipped(f, cpio(member{"a", plain}, member{"b.gz", gzipped(f, plain)})))
	f.Add(tarball(f, member{"a", plain}, member{"b", zstded(f, plain)}))
	f.Add(zipped(f, zip.Deflate, member{"a", plain}))
	f.Add(zipped(f, zip.Store, member{"a", gzipped(f, plain)}))
	f.Add(bzImage(gzipped(f, plain)))
	f.Add(zboot(zstded(f, plain)))
	lim := wrap.Limits{Depth: 4, Parts: 50, Plain: 1 << 22, Window: 1 << 23, Ratio: 1100, Name: 100}
	f.Fuzz(func(t *testing.T, content []byte) {
		parts := parse(t, content, lim)
		if n := within(t, parts, int64(len(content)), lim); n > lim.Parts {
			t.Fatalf("%d parts", n)
		}
		for _, p := range parts {
			if p.Decoder == "" {
				continue
			}
			var n size
			err := wrap.Decode(t.Context(), p.Decoder, io.NewSectionReader(bytes.NewReader(content), p.Offset, p.Length), &n,
				lim)
			if err != nil && !errors.Is(err, wrap.ErrInvalid) && !errors.Is(err, wrap.ErrLimit) || int64(n) > lim.Plain {
				t.Fatal(n, err)
			}
			if err := wrap.NewTrier(nil, nil, lim).Try(t.Context(), bytes.NewReader(content), &p); err != nil &&
				!errors.Is(err, wrap.ErrInvalid) && !errors.Is(err, wrap.ErrLimit) {
				t.Fatal(err)
			}
		}
	})
}

// size counts.
type size int64

func (s *size) Write(p []byte) (int, error) { *s += size(len(p)); return len(p), nil }

// within holds parts against the size of what they are in, and returns how many there are.
func within(t *testing.T, parts []wrap.Part, size int64, lim wrap.Limits) int {
	n, end := 0, int64(0)
	for _, p := range parts {
		if p.Offset < end || p.Length <= 0 || p.Offset+p.Length > size || p.Size < 0 || p.Size > lim.Plain+lim.Ratio*size {
			t.Fatalf("%+v in %d", p, size)
		}
		end = p.Offset + p.Length
		n += 1 + within(t, p.Parts, p.Size, lim)
	}
	return n
}
