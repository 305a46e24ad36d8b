package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// crafted is a delta of one batch: of operations, and of differences as they are coded.
func crafted(t testing.TB, h Header, data [streams][]byte) []byte {
	t.Helper()
	h.DiffID = digest.FromString("tar")
	out, err := h.envelope()
	if err != nil {
		t.Fatal(err)
	}
	var head, body []byte
	for i, plain := range data {
		packed := plain
		if i != differences && len(plain) > 0 {
			var buf bytes.Buffer
			enc, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
			if err != nil {
				t.Fatal(err)
			}
			_, err = enc.Write(plain)
			if err := errors.Join(err, enc.Flush()); err != nil {
				t.Fatal(err)
			}
			packed = bytes.Clone(buf.Bytes())
			enc.Close() //nolint:errcheck // not used to its end
		}
		head = binary.AppendUvarint(binary.AppendUvarint(head, uint64(len(plain))), uint64(len(packed)))
		body = append(body, packed...)
	}
	out = append(append(out, head...), body...)
	return binary.LittleEndian.AppendUint32(out, uint32(checksum(head).of(body)))
}

// FuzzOperations: whatever the operations are, applying them ends in one of the package's errors, and gives everything back.
func FuzzOperations(f *testing.F) {
	s := newSeries(3)
	h := Header{TarSize: 1 << 20, Sources: s.trees[0].seed().Files, Programs: shop{}.Available()}
	for n := range uint64(6) {
		other := newSeries(n)
		target, _ := other.trees[1].target(f)
		delta, _ := made(f, target, other.trees[0], Options{Scratch: &temp{}, Encoders: shop{}})
		d, err := Open(bytes.NewReader(delta), Limits{})
		if err != nil {
			f.Fatal(err)
		}
		b := newBatchReader(d.r, Version)
		for b.next() == nil {
			f.Add(b.data[operations], bytes.Clone(b.feed[differences].buf.Bytes()), b.data[literals])
			if b.data[operations][len(b.data[operations])-1] == opEnd {
				break
			}
		}
		b.close()
	}
	f.Add(ops([]int64{7, 0, 0, 0, 100, 1, 500}, []int64{8, 1, 10, 0}, []int64{1, 1}, []int64{2, 10}, []int64{9}), []byte{},
		[]byte{})
	lim := Limits{Part: 1 << 20, Unwrapped: 1 << 22, Parts: 100}
	f.Fuzz(func(t *testing.T, list, coded, data []byte) {
		if len(list) == 0 || len(list) > 1<<16 || len(coded) > 1<<16 || len(data) > 1<<16 {
			return
		}
		d, err := Open(bytes.NewReader(crafted(t, h, [streams][]byte{list, coded, data, data})), lim)
		if err != nil {
			t.Fatal(err)
		}
		scratch := &temp{}
		err = d.Apply(t.Context(), io.Discard,
			ApplyOptions{Contents: s.trees[0], Scratch: scratch, Encoders: shop{}, Memory: 1, Parallel: 2})
		if !known(err) || scratch.open.Load() != 0 {
			t.Fatalf("%d temporary files are left: %v", scratch.open.Load(), err)
		}
	})
}

// ops are operations with their fields.
func ops(list ...[]int64) []byte {
	var b []byte
	for _, op := range list {
		b = append(b, byte(op[0]))
		for _, v := range op[1:] {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	return b
}

// Operations that the format does not have, or not like this, are refused.
func TestOperationsThatAreWrong(t *testing.T) {
	t.Parallel()
	page := zipped(bytes.Repeat([]byte("page "), 100))
	seed := files{"a": page}
	h := Header{TarSize: 1 << 20, Sources: seed.seed().Files}
	n := int64(len(page))
	for what, b := range map[string][]byte{
		"a part without a decoder":   ops([]int64{7, 0, 0, 0, n, 0, n}, []int64{0}),
		"clear":                      ops([]int64{11}, []int64{0}),
		"a slot that is taken":       ops([]int64{7, 0, 0, 0, n, 1, 500}, []int64{7, 0, 0, 0, n, 1, 500}, []int64{0}),
		"a slot that was dropped":    ops([]int64{7, 0, 0, 0, n, 1, 500}, []int64{10, 0}, []int64{1, 1}, []int64{2, 1}),
		"a part of another size":     ops([]int64{7, 0, 0, 0, n, 1, 499}, []int64{0}),
		"a part behind the source":   ops([]int64{7, 0, 0, 1, n, 1, 499}, []int64{0}),
		"a kept part twice":          ops([]int64{8, 1, 0, 0}, []int64{9}, []int64{8, 1, 0, 0}, []int64{9}, []int64{0}),
		"a kept part in itself":      ops([]int64{8, 1, 0, 0}, []int64{8, 1, 0, 0}, []int64{9}, []int64{9}, []int64{0}),
		"a kept part that is begun":  ops([]int64{8, 1, 1, 0}, []int64{1, 2}, []int64{2, 1}, []int64{9}, []int64{0}),
		"a source that is not there": ops([]int64{1, 4}, []int64{2, 1}, []int64{0}),
		"a part that is longer":      ops([]int64{8, 0, 1 << 21}, []int64{9}, []int64{0}),
		"a number of 70 bits":        append(ops([]int64{1}), bytes.Repeat([]byte{0x80}, 10)...),
		"an end too early":           ops([]int64{0}),
	} {
		scratch := &temp{}
		_, err := applied(t.Context(), crafted(t, h, [streams][]byte{b}), seed, ApplyOptions{Scratch: scratch, Memory: 1})
		if !errors.Is(err, ErrInvalid) || scratch.open.Load() != 0 {
			t.Errorf("%s: %v; %d temporary files are left", what, err, scratch.open.Load())
		}
	}
	numbers := append([]byte(magic), bytes.Repeat([]byte{0xff}, 11)...)
	if _, err := Open(bytes.NewReader(numbers), Limits{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a header's length of more than 64 bits: %v", err)
	}
}

// opens counts how often files are opened.
type opens struct {
	files
	n atomic.Int64
}

func (o *opens) Open(ctx context.Context, f File) (Content, error) {
	o.n.Add(1)
	return o.files.Open(ctx, f)
}

// A small delta has little done: files are not opened again and again, nor decoded.
func TestWorkThatNothingComesOf(t *testing.T) {
	t.Parallel()
	seed := &opens{files: files{}}
	for i := range 2 * maxOpen {
		seed.files[fmt.Sprintf("f%03d", i)] = []byte{1, 2, 3}
	}
	h := Header{TarSize: 1 << 30, Sources: seed.seed().Files}
	var all []byte
	for i := range int64(40_000) {
		all = append(all, ops([]int64{1, 4 * (i % (2 * maxOpen))}, []int64{2, 1})...)
	}
	d, err := Open(bytes.NewReader(crafted(t, h, [streams][]byte{all})), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Apply(t.Context(), io.Discard, ApplyOptions{Contents: seed, Scratch: &temp{}})
	// once more each, to see whether they are what they should be
	if most := int64(openedMost + 4*maxOpen + 40_000/perOpened); !errors.Is(err, ErrLimit) || seed.n.Load() > most {
		t.Errorf("%d files were opened: %v", seed.n.Load(), err)
	}

	for what, step := range map[string]func(w *work) error{
		"reading": func(w *work) error { return w.unwrap(1<<30, 0) },
		"giving":  func(w *work) error { return w.unwrap(1, 1<<30) },
		"seeking": func(w *work) error { return w.batch(1 << 20) },
		"parts":   func(w *work) error { return w.begin(begun{}, 1) },
	} {
		w := newWork(&Header{TarSize: 1 << 20}, Limits{}.OrDefault())
		var err error
		n := 0
		for ; err == nil && n < 1_000_000; n++ {
			err = step(&w)
		}
		if !errors.Is(err, ErrLimit) || n > 200_000 {
			t.Errorf("%s, %d times: %v", what, n, err)
		}
	}
}

// A delta runs no program that its header does not name.
func TestProgramsOfTheHeader(t *testing.T) {
	t.Parallel()
	s := newSeries(3)
	target, _ := s.trees[1].target(t)
	delta, report := made(t, target, s.trees[0], Options{Scratch: &temp{}, Encoders: shop{}})
	if len(report.Programs) == 0 {
		t.Fatal("no program is run")
	}
	whole := bytes.NewReader(delta)
	d, err := Open(whole, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(d.r)
	if err != nil {
		t.Fatal(err)
	}
	for other, want := range map[string]error{"5.6.0": nil, "5.2.0": ErrInvalid} {
		h := d.Header()
		h.Programs = nil
		for _, p := range d.Header().Programs {
			if p.Name == "xz" {
				p.Version = other
			}
			h.Programs = append(h.Programs, p)
		}
		head, err := h.envelope()
		if err != nil {
			t.Fatal(err)
		}
		_, err = applied(t.Context(), append(head, rest...), s.trees[0], ApplyOptions{Scratch: &temp{}, Encoders: shop{}})
		if !errors.Is(err, want) {
			t.Errorf("a header with xz %s: %v", other, err)
		}
	}
}

// What is too much for a reader is left out.
func TestAllowance(t *testing.T) {
	t.Parallel()
	for n := range uint64(12) {
		s := newSeries(n)
		target, want := s.trees[1].target(t)
		for left := range 6 {
			target.Tar = bytes.NewReader(want)
			m, err := newMaker(t.Context(), target, s.trees[0].seed(),
				Options{Contents: s.trees[0], Scratch: &temp{}, Encoders: shop{}, Parallel: 2})
			if err != nil {
				t.Fatal(err)
			}
			m.allowance.count = left
			var out bytes.Buffer
			if _, err := m.make(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			m.packer.Close() //nolint:errcheck // writes nowhere
			lim := Limits{}.OrDefault()
			lim.Parts = left + 2*lim.Depth
			d, err := Open(&out, lim)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			err = d.Apply(t.Context(), &got, ApplyOptions{Contents: s.trees[0], Scratch: &temp{}, Encoders: shop{}})
			if err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("seed %d, %d parts: %d bytes of %d: %v", n, left, got.Len(), len(want), err)
			}
		}
	}
	a := newAllowance()
	for what, f := range map[string]File{
		"a path that is not clean": {Path: "usr/../etc"}, "a long path": {Path: string(bytes.Repeat([]byte("a"), 5000))},
		"a layer beyond all": {Path: "a", Layer: maxLayers + 1},
	} {
		if a.source(f) {
			t.Errorf("%s is allowed", what)
		}
	}
	n := 0
	for a.source(File{Path: fmt.Sprintf("usr/share/some/directory/%08d", n)}) {
		n++
	}
	if n > a.lim.Sources || n < a.lim.Sources/4 {
		t.Errorf("%d sources are allowed", n)
	}
	if _, err := Make(t.Context(), io.Discard, Target{TarSize: 1 << 40}, Seed{}, Options{}); !errors.Is(err, ErrLimit) {
		t.Errorf("a layer of 1 TiB: %v", err)
	}
}
