package delta

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
)

// program is like a program for x86-64: functions of few words, that call each other by how far away they are, and tables of
// their addresses. With grown, another build: every fourth function has bytes that differ, and every sixteenth more of
// them, so that all behind it lies further on.
func program(n int, grown bool) []byte {
	r := rand.New(rand.NewPCG(1, 31))
	words := noise(4096, 4)
	type call struct{ at, to int }
	var calls []call
	var starts []int
	b := make([]byte, elfHeader, n+4096)
	copy(b, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(b[18:], 62)
	for len(b) < n {
		starts = append(starts, len(b))
		for size := len(b) + 64 + r.IntN(960); len(b) < size; {
			at := r.IntN(len(words) - 12)
			b = append(b, words[at:at+4+r.IntN(8)]...)
			if r.IntN(4) == 0 {
				calls = append(calls, call{len(b) + 1, r.IntN(1 << 30)})
				b = append(b, 0xe8, 0, 0, 0, 0)
			}
		}
		for i := 8; len(starts)%4 == 0 && grown && i < 40; i += 4 {
			b[len(b)-i] ^= byte(i)
		}
		if len(starts)%16 == 0 && grown {
			b = append(b, words[:8+len(starts)%64]...)
		}
		b = append(b, make([]byte, -len(b)&15)...)
	}
	for _, c := range calls {
		binary.LittleEndian.PutUint32(b[c.at:], uint32(starts[c.to%8192]-c.at-4))
	}
	for _, at := range starts {
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
	}
	return b
}

const elfHeader = 64

const programSize = 8 << 20

func BenchmarkMake(b *testing.B) {
	old := files{"usr/bin/tool": program(programSize, false)}
	target, tarball := files{"usr/bin/tool": program(programSize, true)}.target(b)
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
	old := files{"usr/bin/tool": program(programSize, false)}
	target, _ := files{"usr/bin/tool": program(programSize, true)}.target(b)
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
