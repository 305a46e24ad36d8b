package demo

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// Savings in the demo mean something only if its files compress as those of a real system do.
func TestContentCompresses(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, tc := range map[string]struct {
		texture   texture
		low, high float64
	}{
		"program": {program, 0.36, 0.46}, "text": {text, 0.18, 0.33}, "packed": {packed, 0.99, 1.01},
	} {
		b, err := io.ReadAll(newContent(tc.texture, name, size))
		if err != nil || len(b) != size {
			t.Fatalf("%s: %d bytes, %v", name, len(b), err)
		}
		again, _ := io.ReadAll(inOddSteps(newContent(tc.texture, name, size)))
		if !bytes.Equal(b, again) {
			t.Errorf("%s: differs when read again", name)
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		if ratio := float64(z.Len()) / size; ratio < tc.low || ratio > tc.high {
			t.Errorf("%s: compresses to %.2f of its size, want %.2f to %.2f", name, ratio, tc.low, tc.high)
		}
	}
}

// inOddSteps reads in odd steps, so that a dependence on read sizes shows.
func inOddSteps(r io.Reader) io.Reader { return &oddReader{r, 1} }

type oddReader struct {
	r io.Reader
	n int
}

func (o *oddReader) Read(p []byte) (int, error) {
	o.n = o.n%4093 + 7
	return o.r.Read(p[:min(o.n, len(p))])
}

func BenchmarkContent(b *testing.B) {
	for name, texture := range map[string]texture{"program": program, "text": text, "packed": packed} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				_, _ = io.Copy(io.Discard, newContent(texture, "x", 1<<20))
			}
		})
	}
}
