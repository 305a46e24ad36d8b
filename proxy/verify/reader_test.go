package verify_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/proxy/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// content returns n pseudo-random bytes.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b) // never fails
	return b
}

// chunked is a source that gives its bytes in random pieces, sometimes none, and its last ones with or without io.EOF.
type chunked struct {
	rest []byte
	rnd  *rand.Rand
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:c.rnd.IntN(len(c.rest)+1)])
	c.rest = c.rest[n:]
	if len(c.rest) == 0 && c.rnd.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// readRandomly reads to the end through buffers of random lengths.
func readRandomly(r io.Reader, rnd *rand.Rand) (got []byte, err error) {
	for range 1 << 20 {
		p := make([]byte, rnd.IntN(40))
		n, err := r.Read(p)
		got = append(got, p[:n]...)
		if err != nil {
			return got, err
		}
	}
	return got, errors.New("no end")
}

// Whatever way the bytes come and are read: right content comes whole, and of wrong content never the last byte, nor io.EOF.
func TestAnyChunking(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		right := content(rnd.IntN(100))
		sent, wrong := damage(right, rnd)
		size := int64(len(right))
		if rnd.IntN(2) == 0 {
			size = verify.AnySize
		}
		alg := digest.SHA256
		if rnd.IntN(4) == 0 {
			alg = digest.SHA512
		}
		r := verify.NewReader(&chunked{sent, rnd}, alg.FromBytes(right), size)
		got, err := readRandomly(r, rnd)
		switch {
		case !wrong && (err != io.EOF || !bytes.Equal(got, right) || !r.Verified()):
			t.Errorf("seed %d: right content gives %d of %d bytes, %v", seed, len(got), len(right), err)
		case wrong && (!errors.Is(err, verify.ErrMismatch) || r.Verified()):
			t.Errorf("seed %d: wrong content gives %v", seed, err)
		case wrong && size >= 0 && len(got) > 0 && int64(len(got)) >= size, wrong && size < 0 && len(got) > 0 &&
			len(got) >= len(sent):
			t.Errorf("seed %d: %d bytes of %d, with %d announced, passed", seed, len(got), len(sent), size)
		case !bytes.HasPrefix(sent, got):
			t.Errorf("seed %d: other bytes passed", seed)
		}
		if _, again := r.Read(make([]byte, 1)); again != err {
			t.Errorf("seed %d: after %v comes %v", seed, err, again)
		}
	}
}

// damage returns content as a source may send it, and whether that is wrong.
func damage(right []byte, rnd *rand.Rand) (sent []byte, wrong bool) {
	sent = bytes.Clone(right)
	switch way := rnd.IntN(4); {
	case way == 0 && len(sent) > 0:
		sent[rnd.IntN(len(sent))] ^= 1 << rnd.IntN(8)
		return sent, true
	case way == 1 && len(sent) > 0:
		return sent[:rnd.IntN(len(sent))], true
	case way == 2:
		return append(sent, content(1+rnd.IntN(30))...), true
	}
	return sent, false
}

func TestWrongContentSaysHow(t *testing.T) {
	t.Parallel()
	d := digest.FromString("right")
	for name, c := range map[string]struct {
		sent string
		want digest.Digest
		size int64
		says string
	}{
		"other bytes":         {"wrong", d, 5, "has the digest " + digest.FromString("wrong").String()},
		"too few":             {"rig", d, 5, "ends after 3 of 5 bytes"},
		"too many":            {"right!", d, 5, "more than the announced 5 bytes"},
		"other size":          {"right", d, 6, "ends after 5 of 6 bytes"},
		"nothing":             {"", d, verify.AnySize, "has the digest"},
		"impossible size":     {"right", d, -2, "cannot have -2 bytes"},
		"no digest":           {"right", "right", 5, "invalid"},
		"unknown algorithm":   {"right", "md5:7d5ac96a1d5fbc3f1d5cbc5f1a3d2fc1", 5, "digest"},
		"a part, too short":   {"righ", "", 5, "ends after 4 of 5 bytes"},
		"a part, too long":    {"right!", "", 5, "more than the announced 5 bytes"},
		"traversing a digest": {"right", "sha256:../../x", 5, "invalid"},
	} {
		got, err := io.ReadAll(verify.NewReader(strings.NewReader(c.sent), c.want, c.size))
		if !errors.Is(err, verify.ErrMismatch) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
		if len(got) > 0 && int64(len(got)) >= c.size && c.size >= 0 {
			t.Errorf("%s: %q passed", name, got)
		}
	}
}

// The bytes of content of known size do not wait for those behind them, but for the last one.
func TestBytesPassAtOnce(t *testing.T) {
	t.Parallel()
	pr, pw := io.Pipe()
	r := verify.NewReader(pr, digest.FromString("abcd"), 4)
	go func() { _, _ = pw.Write([]byte("abc")) }() // the reader sees it
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = pw.Write([]byte("d")); pw.Close() }()
	if rest, err := io.ReadAll(r); string(rest) != "d" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestErrorsOfTheSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	d := digest.FromString("abcd")
	r := verify.NewReader(io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(broken)), d, 4)
	if got, err := io.ReadAll(r); err != broken || string(got) != "abc" { //nolint:errorlint // passed on as it is
		t.Errorf("%q, %v", got, err)
	}
	for name, src := range map[string]io.Reader{"negative": count(-1), "too many": count(1000)} {
		if n, err := verify.NewReader(src, d, 4).Read(make([]byte, 8)); n != 0 || err == nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if _, err := verify.NewReader(count(0), d, 4).Read(make([]byte, 8)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("no progress: %v", err)
	}
	if n, err := verify.NewReader(strings.NewReader(""), d, 4).Read(nil); n != 0 || err != nil {
		t.Errorf("empty read: %d, %v", n, err)
	}
}

// count is a source that claims to have given so many bytes.
type count int

func (c count) Read([]byte) (int, error) { return int(c), nil }

type closer struct {
	io.Reader
	err    error
	closed int
}

func (c *closer) Close() error { c.closed++; return c.err }

func TestClose(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	src := &closer{Reader: strings.NewReader("abcd"), err: broken}
	r := verify.NewReader(src, digest.FromString("abcd"), 4)
	if _, err := r.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != broken || src.closed != 1 { //nolint:errorlint // passed on as it is
		t.Errorf("%v, closed %d times", err, src.closed)
	}
	if n, err := r.Read(make([]byte, 2)); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %d, %v", n, err)
	}
	if err := verify.NewReader(strings.NewReader(""), "", 0).Close(); err != nil {
		t.Error(err)
	}
}

// Content that is read here and there: what comes in order is verified, and nobody gets the last byte of wrong content by
// going back.
func TestReadSeeker(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		right := content(1 + rnd.IntN(60))
		sent := bytes.Clone(right)
		wrong := rnd.IntN(2) == 0
		if wrong {
			sent[rnd.IntN(len(sent))] ^= 1
		}
		r := verify.NewReadSeeker(bytes.NewReader(sent), digest.FromBytes(right), int64(len(sent)))
		top := 0 // what was read in order
		for off := 0; top < len(sent); {
			if rnd.IntN(3) == 0 {
				off = rnd.IntN(top + 1)
				if at, err := r.Seek(int64(off-len(sent)), io.SeekEnd); at != int64(off) || err != nil {
					t.Fatalf("seek: %d, %v", at, err)
				}
			}
			p := make([]byte, 1+rnd.IntN(20))
			n, err := r.Read(p)
			if !bytes.Equal(p[:n], sent[off:off+n]) {
				t.Fatalf("seed %d: other bytes at %d", seed, off)
			}
			off += n
			top = max(top, off)
			if err != nil {
				if !wrong || !errors.Is(err, verify.ErrMismatch) || top >= len(sent) {
					t.Fatalf("seed %d: %v at %d of %d", seed, err, top, len(sent))
				}
				break
			}
		}
		if wrong == (top == len(sent)) || r.Verified() == wrong {
			t.Fatalf("seed %d: wrong %t, %d of %d bytes passed, verified %t", seed, wrong, top, len(sent), r.Verified())
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); wrong == (err == nil) {
			t.Errorf("seed %d: the start after the verdict: %v", seed, err)
		}
	}
}

func TestPartsAreNotVerified(t *testing.T) {
	t.Parallel()
	r := verify.NewReadSeeker(strings.NewReader("abcdef"), digest.FromString("other!"), 6)
	if _, err := r.Seek(-2, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != "ef" || err != nil || r.Verified() {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOffset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		offset int64
		whence int
		want   int64 // -1: error
	}{
		{5, io.SeekStart, 5}, {-1, io.SeekStart, -1}, {5, io.SeekCurrent, 15}, {-11, io.SeekCurrent, -1},
		{-100, io.SeekEnd, 0},
		{1, io.SeekEnd, 101}, {-101, io.SeekEnd, -1}, {0, 3, -1}, {0, -1, -1}, {1<<63 - 1, io.SeekCurrent, -1},
	} {
		got, err := verify.Offset(10, 100, c.offset, c.whence)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("Offset(10, 100, %d, %d) = %d, %v", c.offset, c.whence, got, err)
		}
	}
}

func ExampleReader() {
	d := digest.FromString("a layer")
	got, err := io.ReadAll(verify.NewReader(strings.NewReader("a layer"), d, 7))
	fmt.Printf("%q %v\n", got, err)

	// Of wrong bytes the last one never comes: who counts does not take them for complete.
	got, err = io.ReadAll(verify.NewReader(strings.NewReader("a lawyr"), d, 7))
	fmt.Println(len(got) < 7, errors.Is(err, verify.ErrMismatch))
	// Output:
	// "a layer" <nil>
	// true true
}

func ExampleReadSeeker() {
	stored := strings.NewReader("a layer")
	r := verify.NewReadSeeker(stored, digest.FromString("a layer"), stored.Size())

	_, _ = r.Seek(2, io.SeekStart) // a range: passed on as it is
	part, _ := io.ReadAll(r)
	fmt.Printf("%q %t\n", part, r.Verified())

	_, _ = r.Seek(0, io.SeekStart) // the whole: verified
	all, _ := io.ReadAll(r)
	fmt.Printf("%q %t\n", all, r.Verified())
	// Output:
	// "layer" false
	// "a layer" true
}

func BenchmarkReader(b *testing.B) {
	data := content(1 << 20)
	d := digest.FromBytes(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, verify.NewReader(bytes.NewReader(data), d, int64(len(data)))); err != nil {
			b.Fatal(err)
		}
	}
}
