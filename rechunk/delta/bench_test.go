package delta

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
)

// program is like a program: code of few words, with addresses in it that lie moved bytes further on.
func program(n int, moved uint32) []byte {
	r := rand.New(rand.NewPCG(1, 31))
	words := noise(4096, 4)
	b := make([]byte, 0, n+16)
	for len(b) < n {
		at := r.IntN(len(words) - 12)
		b = append(b, words[at:at+4+r.IntN(8)]...)
		if r.IntN(4) == 0 {
			b = binary.LittleEndian.AppendUint32(b, uint32(r.IntN(1<<20))+moved)
		}
	}
	return b[:n]
}

const programSize = 8 << 20

func BenchmarkMake(b *testing.B) {
	old := files{"usr/bin/tool": program(programSize, 0)}
	target, tarball := files{"usr/bin/tool": program(programSize, 256)}.target(b)
	b.SetBytes(target.TarSize)
	for b.Loop() {
		target.Tar = bytes.NewReader(tarball)
		if _, err := Make(b.Context(), io.Discard, target, old.seed(),
			Options{Contents: old, Scratch: &temp{}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	old := files{"usr/bin/tool": program(programSize, 0)}
	target, _ := files{"usr/bin/tool": program(programSize, 256)}.target(b)
	delta, _ := made(b, target, old, Options{Scratch: &temp{}})
	b.SetBytes(target.TarSize)
	for b.Loop() {
		d, err := Open(bytes.NewReader(delta), Limits{})
		if err == nil {
			err = d.Apply(b.Context(), io.Discard, ApplyOptions{Contents: old, Scratch: &temp{}})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(delta)), "delta-bytes")
}
