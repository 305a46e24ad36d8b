package chunkstore

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// source is an object that counts how often it is opened, and can fail.
type source struct {
	data  []byte
	opens int
	fail  error // what the next reader ends with, after half of its bytes
}

func (s *source) open(off int64) (io.ReadCloser, error) {
	s.opens++
	rest := s.data[min(off, int64(len(s.data))):]
	if s.fail != nil {
		r := io.MultiReader(bytes.NewReader(rest[:len(rest)/2]), iotest.ErrReader(s.fail))
		s.fail = nil
		return io.NopCloser(r), nil
	}
	return io.NopCloser(bytes.NewReader(rest)), nil
}

func newRanged(s *source, size int) *ranged {
	return &ranged{name: "test", open: s.open, size: int64(size)}
}

func TestSeekAsksForNothing(t *testing.T) {
	t.Parallel()
	s := &source{data: make([]byte, 1<<20)}
	r := newRanged(s, len(s.data))
	read := func(want int) {
		t.Helper()
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil || s.opens != want {
			t.Errorf("%v, %d opens, want %d", err, s.opens, want)
		}
	}
	for _, off := range []int64{100, 1 << 19, 0, 1 << 30, 5} {
		r.Seek(off, io.SeekStart)
	}
	if end, _ := r.Seek(0, io.SeekEnd); end != 1<<20 || s.opens != 0 {
		t.Errorf("end %d, %d opens", end, s.opens)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF || s.opens != 0 {
		t.Errorf("at the end: %d, %v, %d opens", n, err, s.opens)
	}
	r.Seek(0, io.SeekStart)
	read(1)
	r.Seek(1000, io.SeekCurrent) // near: read over
	read(1)
	r.Seek(skipLimit+1, io.SeekCurrent) // far: ask anew
	read(2)
	r.Seek(0, io.SeekStart)
	read(3)
}

func TestReadGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	s := &source{data: []byte("0123456789"), fail: io.ErrUnexpectedEOF}
	r := newRanged(s, 10)
	first, err := io.ReadAll(r)
	if string(first) != "01234" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", first, err)
	}
	rest, err := io.ReadAll(r)
	if string(rest) != "56789" || err != nil {
		t.Errorf("then read %q, %v", rest, err)
	}
}

func TestReadOfShortObject(t *testing.T) {
	t.Parallel()
	got, err := io.ReadAll(newRanged(&source{data: []byte("0123")}, 10))
	if string(got) != "0123" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", got, err)
	}
	got, err = io.ReadAll(newRanged(&source{data: []byte("0123456789")}, 4))
	if string(got) != "0123" || err != nil {
		t.Errorf("of a longer object: %q, %v", got, err)
	}
}
