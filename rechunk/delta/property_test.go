package delta

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// shop are Encoders with three programs, in Go: gzip and zstd make what the packages of these names make, xz stores.
type shop struct{}

func (shop) Available() []Program {
	return []Program{{Name: wrap.ProgramGzip, Version: "1.12"}, {Name: wrap.ProgramXz, Version: "5.4.1"},
		{Name: wrap.ProgramZstd, Version: "1.5.7"}}
}

func (shop) Encode(_ context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error {
	b, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	switch e.Program {
	case wrap.ProgramGzip:
		b = zipped(b)
	case wrap.ProgramZstd:
		b = zstded(b, zstd.SpeedDefault)
	case wrap.ProgramXz:
		b = xzed(b)
	}
	_, err = wrapped.Write(b)
	return err
}

func zstded(b []byte, level zstd.EncoderLevel) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	defer w.Close() //nolint:errcheck // writes nowhere
	return w.EncodeAll(b, nil)
}

// foreign is gzip that no program makes.
func foreign(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	w.Name = "other"
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// xzed is an xz stream that only stores (The .xz File Format, 1.2.1), in one block.
func xzed(b []byte) []byte {
	sum := func(p []byte) []byte { return binary.LittleEndian.AppendUint32(p, crc32.ChecksumIEEE(p)) }
	out := append([]byte("\xfd7zXZ\x00"), sum([]byte{0, 1})...)
	out = append(out, sum([]byte{2, 0, 0x21, 1, 16, 0, 0, 0})...) // one filter, LZMA2, a dictionary of 1 MiB
	at := len(out)
	var packed []byte
	for i := 0; i < len(b); i += 1 << 16 {
		chunk := b[i:min(i+1<<16, len(b))]
		kind := byte(2)
		if i == 0 {
			kind = 1
		}
		packed = append(packed, kind, byte((len(chunk)-1)>>8), byte(len(chunk)-1))
		packed = append(packed, chunk...)
	}
	packed = append(packed, 0)
	out = append(out, packed...)
	out = append(out, make([]byte, -(len(out)-at)&3)...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(b))
	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(12+len(packed)+4)), uint64(len(b)))
	index = append(index, make([]byte, -len(index)&3)...)
	index = sum(index)
	out = append(out, index...)
	foot := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), 0, 1)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(foot))
	return append(append(out, foot...), "YZ"...)
}

// wrapping is one of the ways to wrap.
type wrapping struct {
	suffix string
	wrap   func([]byte) []byte
}

func wrappings() []wrapping {
	return []wrapping{
		{".gz", zipped}, {".xz", xzed}, {"", bytes.Clone}, {".gz", foreign},
		{".zst", func(b []byte) []byte { return zstded(b, zstd.SpeedDefault) }},
		{".zst", func(b []byte) []byte { return zstded(b, zstd.SpeedFastest) }},
	}
}

// series are two versions of a tree with modules, and archives that have them, too.
type series struct {
	r         *rand.Rand
	plain     [2][][]byte // of the modules
	wrappings []wrapping  // of each
	names     [2][]string
	trees     [2]files
}

func newSeries(seed uint64) *series {
	s := &series{r: rand.New(rand.NewPCG(seed, 31)), trees: [2]files{{}, {}}}
	all := wrappings()
	for i := range 2 + s.r.IntN(6) {
		b := make([]byte, 300+s.r.IntN(1<<(9+s.r.IntN(7))))
		for k := range b {
			b[k] = byte(s.r.IntN(1 + s.r.IntN(200)))
		}
		w := all[s.r.IntN(len(all))]
		s.wrappings = append(s.wrappings, w)
		s.plain[0], s.plain[1] = append(s.plain[0], b), append(s.plain[1], s.changed(b))
		for v := range 2 {
			s.names[v] = append(s.names[v], fmt.Sprintf("usr/lib/modules/6.1.%d/kernel/m%d.ko%s", v+1, i, w.suffix))
		}
	}
	for v := range 2 {
		s.fill(v)
	}
	return s
}

// changed is b after an update: the same, with some bytes changed, or another.
func (s *series) changed(b []byte) []byte {
	b = bytes.Clone(b)
	switch s.r.IntN(4) {
	case 0:
	case 1:
		for i := range b {
			b[i] = byte(s.r.Uint32())
		}
	default:
		for range 1 + s.r.IntN(30) {
			b[s.r.IntN(len(b))]++
		}
		at := s.r.IntN(len(b))
		b = slices.Insert(b, at, make([]byte, s.r.IntN(40))...)
	}
	return b
}

// fill makes a version's tree: modules, some of which are missing, archives of some, copies of some, and what is empty.
func (s *series) fill(v int) {
	f := s.trees[v]
	for i, n := range s.names[v] {
		if b := s.wrappings[i].wrap(s.plain[v][i]); s.r.IntN(6) > 0 {
			f[n] = b
			if s.r.IntN(6) == 0 {
				f[fmt.Sprintf("usr/share/copy/%d-%d", v, i)] = b
			}
		}
	}
	f["etc/empty"] = nil
	for i := range 1 + s.r.IntN(3) {
		where := []string{"boot/initrd%d-6.1.%d.img", "usr/lib/firmware/a%d.%d", "zz/last%d.%d"}[s.r.IntN(3)]
		f[fmt.Sprintf(where, i, v+1)] = s.chain(v, 3)
	}
}

// chain is what an initramfs is: archives, wrapped or not, one after another.
func (s *series) chain(v, depth int) []byte {
	all := wrappings()
	var out []byte
	for range 1 + s.r.IntN(3) {
		out = append(out, all[s.r.IntN(len(all))].wrap(s.archive(v, depth))...)
		out = append(out, make([]byte, -len(out)&3+4*s.r.IntN(3))...)
	}
	return out
}

// archive is a cpio archive of modules as they are in the tree, of plain ones, of empty files and other chains.
func (s *series) archive(v, depth int) []byte {
	members := files{}
	for range 1 + s.r.IntN(6) {
		i := s.r.IntN(len(s.plain[v]))
		switch s.r.IntN(6) {
		case 0:
			members[fmt.Sprintf("plain/m%d.ko", i)] = s.plain[v][i]
		case 1:
			members[fmt.Sprintf("empty/%d", i)] = nil
		case 2:
			if depth > 0 {
				members[fmt.Sprintf("inner/%d.img", i)] = s.chain(v, depth-1)
			}
		default:
			members[s.names[v][i]] = s.wrappings[i].wrap(s.plain[v][i])
		}
	}
	return archive(slices.Sorted(maps.Keys(members)), members, v)
}

// Whatever Make writes, Apply makes the layer of, and gives everything back; and what Make writes does not depend on how
// many files it works on at a time.
func TestWhatMakeWritesAppliesAtAll(t *testing.T) {
	t.Parallel()
	for n := range uint64(20) {
		s := newSeries(n)
		target, want := s.trees[1].target(t)
		scratch := &temp{}
		var delta []byte
		o := Options{Scratch: scratch, Encoders: shop{}, Worth: []int64{0, 0, 1 << 20}[n%3]}
		for _, parallel := range []int{1, 2, 8} {
			o.Parallel, target.Tar = parallel, bytes.NewReader(want)
			again, _ := made(t, target, s.trees[0], o)
			if delta != nil && !bytes.Equal(again, delta) {
				t.Errorf("seed %d: another delta with %d workers", n, parallel)
			}
			delta = again
		}
		for _, parallel := range []int{1, 2, 8} {
			got, err := applied(t.Context(), delta, s.trees[0],
				ApplyOptions{Scratch: scratch, Encoders: shop{}, Parallel: parallel, Memory: []int64{0, 1}[n%2]})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("seed %d, %d workers: %d bytes, not the %d of the layer: %v", n, parallel, len(got), len(want), err)
			}
		}
		if scratch.open.Load() != 0 {
			t.Errorf("seed %d: %d temporary files are left", n,
				scratch.open.Load())
		}
	}
}

// damage alters, cuts off or removes some files.
func (s *series) damage(f files) files {
	f = maps.Clone(f)
	paths := slices.Sorted(maps.Keys(f))
	for range 1 + s.r.IntN(3) {
		p := paths[s.r.IntN(len(paths))]
		b := bytes.Clone(f[p])
		switch s.r.IntN(3) {
		case 0:
			delete(f, p)
		case 1:
			f[p] = b[:len(b)/2]
		case 2:
			if len(b) > 0 {
				b[s.r.IntN(len(b))] ^= byte(1 + s.r.IntN(255))
			}
			f[p] = b
		}
	}
	return f
}

// A seed whose files were altered, cut off or removed ends in the layer or in ErrSource, and everything is given back.
func TestWrappedSeedsThatAreDamaged(t *testing.T) {
	t.Parallel()
	wrong := 0
	for n := range uint64(15) {
		s := newSeries(n)
		target, want := s.trees[1].target(t)
		delta, _ := made(t, target, s.trees[0], Options{Scratch: &temp{}, Encoders: shop{}})
		for k := range 4 {
			scratch := &temp{}
			got, err := applied(t.Context(), delta, s.damage(s.trees[0]),
				ApplyOptions{Scratch: scratch, Encoders: shop{}, Parallel: 1 + k, Memory: 1})
			switch {
			case err == nil && !bytes.Equal(got, want):
				t.Fatalf("seed %d: wrong bytes and no error", n)
			case err != nil && !errors.Is(err, ErrSource):
				t.Fatalf("seed %d: %v", n, err)
			case err != nil:
				wrong++
			}
			if scratch.open.Load() != 0 {
				t.Errorf("seed %d: %d temporary files are left: %v", n, scratch.open.Load(), err)
			}
		}
	}
	if wrong < 20 {
		t.Errorf("only %d seeds were found to be wrong", wrong)
	}
}
