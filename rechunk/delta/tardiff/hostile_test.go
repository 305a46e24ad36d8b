package tardiff_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// stream writes a tar-diff by hand.
type stream struct{ b bytes.Buffer }

func (s *stream) op(op byte, size uint64, data string) *stream {
	s.b.WriteByte(op)
	s.b.Write(binary.AppendUvarint(nil, size))
	s.b.WriteString(data)
	return s
}

func (s *stream) file(tb testing.TB, v tardiff.Version) []byte {
	tb.Helper()
	head := "tardf1\n\x00"
	if v == tardiff.V2 {
		head = "tardf2\n\x00"
	}
	return append([]byte(head), Zstd(tb, s.b.Bytes())...)
}

func of(op byte, size uint64, data string) *stream { return new(stream).op(op, size, data) }

// frame is a zstd frame with a dictionary, as zstd --patch-from makes them.
func frame(tb testing.TB, dict, body string) string {
	tb.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(0, []byte(dict)), zstd.WithEncoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	return string(z.EncodeAll([]byte(body), nil))
}

func TestApplyByHand(t *testing.T) {
	t.Parallel()
	old := newImage(t, File("usr/a", "0123456789"), File("usr/b", "abc"))
	f := frame(t, "0123456789", "x0123456789y")
	for name, tc := range map[string]struct {
		s    *stream
		v    tardiff.Version
		want string
	}{
		"all operations": {of(0, 2, "<<").op(1, 5, "usr/a").op(2, 3, "").op(4, 8, "").op(3, 2, "\x01\xff").
			op(1, 5, "usr/b").op(2, 3, "").op(0, 0, ""), tardiff.V1, "<<012" + "98" + "abc"},
		"a dictionary": {of(1, 5, "usr/a").op(4, 3, "").op(5, uint64(len(f)), f).op(4, 0, "").op(2, 1, ""), tardiff.V2,
			"x0123456789y0"},
		"nothing": {new(stream), tardiff.V1, ""},
	} {
		got, err := apply(t, tc.s.file(t, tc.v), old)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestApplyHostile(t *testing.T) {
	t.Parallel()
	old := newImage(t, File("usr/a", "0123456789"))
	f := frame(t, "0123456789", strings.Repeat("0123456789", 100))
	open := func() *stream { return of(1, 5, "usr/a") }
	bomb := open()
	for range 1 << 20 {
		bomb.op(4, 0, "").op(2, 10, "")
	}
	opens, frames := &stream{}, open()
	for range 11_000 {
		opens.op(1, 5, "usr/a")
	}
	for range 3000 {
		frames.op(5, uint64(len(f)), f)
	}
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"sources without end":      {opens.file(t, tardiff.V1), tardiff.ErrLimit},
		"dictionaries without end": {frames.file(t, tardiff.V2), tardiff.ErrLimit},
		"empty":                    {nil, tardiff.ErrInvalid},
		"another magic":            {[]byte("tardf3\n\x00"), tardiff.ErrInvalid},
		"no zstd":                  {[]byte("tardf1\n\x00not zstd at all"), tardiff.ErrInvalid},
		"cut":                      {open().op(2, 3, "").file(t, tardiff.V1)[:20], tardiff.ErrInvalid},
		"cut in a size":            {of(0, 1<<40, "").file(t, tardiff.V1), tardiff.ErrInvalid},
		"a size of 65 bits": {(&stream{*bytes.NewBufferString("\x00" + strings.Repeat("\xff", 10))}).file(t,
			tardiff.V1), tardiff.ErrInvalid},
		"a negative size":        {of(2, 1<<63, "").file(t, tardiff.V1), tardiff.ErrInvalid},
		"an operation":           {of(6, 0, "").file(t, tardiff.V2), tardiff.ErrInvalid},
		"a dictionary in 1":      {open().op(5, uint64(len(f)), f).file(t, tardiff.V1), tardiff.ErrInvalid},
		"no source":              {of(2, 1, "").file(t, tardiff.V1), tardiff.ErrInvalid},
		"no such source":         {of(1, 1, "x").file(t, tardiff.V1), tardiff.ErrSource},
		"out of the image":       {of(1, 16, "../../etc/passwd").file(t, tardiff.V1), tardiff.ErrSource},
		"a long path":            {of(1, 5000, strings.Repeat("x", 5000)).file(t, tardiff.V1), tardiff.ErrLimit},
		"behind the source":      {open().op(2, 11, "").file(t, tardiff.V1), tardiff.ErrSource},
		"far behind it":          {open().op(4, 1<<62, "").op(2, 1, "").file(t, tardiff.V1), tardiff.ErrSource},
		"a long sum":             {open().op(3, 101<<20, "").file(t, tardiff.V1), tardiff.ErrLimit},
		"copies without end":     {bomb.file(t, tardiff.V1), tardiff.ErrLimit},
		"zeros without end":      {of(0, 65<<20, strings.Repeat("\x00", 65<<20)).file(t, tardiff.V1), tardiff.ErrLimit},
		"a dictionary cut":       {open().op(5, 10, f[:10]).file(t, tardiff.V2), tardiff.ErrInvalid},
		"a dictionary's frame":   {open().op(5, 3, "abc").file(t, tardiff.V2), tardiff.ErrInvalid},
		"a frame without an end": {open().op(5, 1<<40, f).file(t, tardiff.V2), tardiff.ErrInvalid},
	} {
		var out bytes.Buffer
		_, err := tardiff.Apply(t.Context(), &out, bytes.NewReader(tc.b), tardiff.NewFiles(old.tree, old.contents),
			tardiff.ApplyOptions{Most: 1 << 20})
		if !errors.Is(err, tc.want) || out.Len() > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, out.Len(), err)
		}
	}
	_, err := tardiff.Apply(t.Context(), io.Discard, bytes.NewReader(open().op(5, uint64(len(f)), f).file(t, tardiff.V2)),
		tardiff.NewFiles(old.tree, old.contents), tardiff.ApplyOptions{Dictionary: 9})
	if !errors.Is(err, tardiff.ErrLimit) {
		t.Errorf("a large dictionary: %v", err)
	}
}

// Errors of who gives the bytes, takes them, or has enough of it, are passed on.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	old := newImage(t, File("usr/a", "0123456789"))
	files := tardiff.NewFiles(old.tree, old.contents)
	b := of(0, 3, "abc").file(t, tardiff.V1)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	for name, do := range map[string]func() error{
		"reader": func() error {
			_, err := tardiff.Apply(t.Context(), io.Discard, io.MultiReader(bytes.NewReader(b[:9]), iotest.ErrReader(boom)),
				files, tardiff.ApplyOptions{})
			return err
		},
		"writer": func() error {
			_, err := tardiff.Apply(t.Context(), &limited{boom, 2}, bytes.NewReader(b), files, tardiff.ApplyOptions{})
			return err
		},
		"context": func() error {
			_, err := tardiff.Apply(ended, io.Discard, bytes.NewReader(b), files, tardiff.ApplyOptions{})
			return err
		},
	} {
		if err := do(); !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Hostile bytes end in an error, within the limits.
func FuzzApply(f *testing.F) {
	old := newImage(f, File("usr/a", program(1, 2000)), File("usr/etc/b", "b"))
	for _, v := range versions {
		of, _ := target(f, File("usr/a", rebuilt(1, program(1, 2000))), File("usr/c", program(1, 2000)))
		diff, _ := makeDiff(f, of, old, v)
		f.Add(diff)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		_, err := tardiff.Apply(t.Context(), &out, bytes.NewReader(b), tardiff.NewFiles(old.tree, old.contents),
			tardiff.ApplyOptions{Most: 1 << 20, Dictionary: 1 << 20})
		if out.Len() > 1<<20 {
			t.Errorf("%d bytes, %v", out.Len(), err)
		}
	})
}

// Any stream comes out as it went in.
func FuzzMake(f *testing.F) {
	old := newImage(f, File("usr/a", program(1, 2000)), File("usr/b", "b"))
	f.Add(Tar(f, File("usr/a", rebuilt(1, program(1, 2000)))), uint8(1))
	f.Add(sparseTar(program(1, 2000)), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, v uint8) {
		of := targetOf(b, old.tree.Entries)
		diff, _ := makeDiff(t, of, old, tardiff.Version(v%2+1))
		got, err := apply(t, diff, old)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes of %d, %v", len(got), len(b), err)
		}
	})
}
