package zstdtokens_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/delta/wrap/zstdtokens"
)

// frames are what zstd 1.5.4 makes of some words and zeros, at the level that the name tells, and of little.
func frames(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	names, err := filepath.Glob("testdata/*.zst")
	if err != nil || len(names) < 7 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = b
	}
	return out
}

// klauspost makes a frame with the Go encoder.
func klauspost(t testing.TB, plain []byte, level zstd.EncoderLevel) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

// data is n bytes of some redundancy.
func data(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's
	var b []byte
	for len(b) < n {
		switch r.IntN(5) {
		case 0:
			b = append(b, bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(1<<r.IntN(18)))...)
		case 1:
			for range r.IntN(300) {
				b = append(b, byte(r.Uint32()))
			}
		default:
			if len(b) > 0 {
				from := r.IntN(len(b))
				b = append(b, b[from:min(len(b), from+r.IntN(1<<r.IntN(12)))]...)
			}
			for range r.IntN(20) {
				b = append(b, "etaoin shrdlu"[r.IntN(13)])
			}
		}
	}
	return b[:n]
}

// again decodes a frame into tokens, and encodes these.
func again(t *testing.T, frame []byte) (tokens []byte) {
	t.Helper()
	var b, out bytes.Buffer
	src := bufio.NewReader(io.MultiReader(bytes.NewReader(frame), bytes.NewReader([]byte("behind"))))
	if err := zstdtokens.Decode(src, &b); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(src); string(rest) != "behind" {
		t.Fatalf("%q was left", rest)
	}
	if err := zstdtokens.Encode(iotest.HalfReader(bytes.NewReader(b.Bytes())), &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), frame) {
		t.Fatalf("%d bytes, not the frame's %d", out.Len(), len(frame))
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, frame := range frames(t) {
		t.Run(name, func(t *testing.T) { again(t, frame) })
	}
	for level := zstd.SpeedFastest; level <= zstd.SpeedBestCompression; level++ {
		for seed := range uint64(20) {
			again(t, klauspost(t, data(seed, 1<<(seed%20)+int(seed)), level))
		}
	}
}

// TestMoved is what tokens are for: bytes that move change few of them.
func TestMoved(t *testing.T) {
	t.Parallel()
	var plain []byte
	for i := range 4000 {
		plain = fmt.Appendf(plain, "member %d: %x\n", i, i*i*2654435761)
	}
	moved := append([]byte("what is new\n"), plain...)
	old, news := again(t, klauspost(t, plain, zstd.SpeedDefault)), again(t, klauspost(t, moved, zstd.SpeedDefault))
	known := map[string]bool{}
	for i := 0; i+16 <= len(old); i++ {
		known[string(old[i:i+16])] = true
	}
	same := 0
	for i := 0; i+16 <= len(news); i += 16 {
		if known[string(news[i:i+16])] {
			same += 16
		}
	}
	if same < len(news)*3/4 {
		t.Errorf("%d of %d bytes are the same", same, len(news))
	}
}

// TestDamaged: each byte that is changed, and each that is missing, gives an error or a frame that comes out again.
func TestDamaged(t *testing.T) {
	t.Parallel()
	frame := frames(t)["short.zst"]
	var tokens bytes.Buffer
	if err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(frame)), &tokens); err != nil {
		t.Fatal(err)
	}
	for i := range frame {
		if err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(frame[:i])), io.Discard); !errors.Is(err,
			zstdtokens.ErrInvalid) {
			t.Errorf("%d of %d bytes: %v", i, len(frame), err)
		}
		other := bytes.Clone(frame)
		other[i] ^= 0x55
		err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(other)), io.Discard)
		if err != nil && !errors.Is(err, zstdtokens.ErrInvalid) {
			t.Error(err)
		}
	}
	for i := range tokens.Len() {
		if err := zstdtokens.Encode(bytes.NewReader(tokens.Bytes()[:i]), io.Discard); !errors.Is(err,
			zstdtokens.ErrInvalid) {
			t.Errorf("%d of %d bytes of tokens: %v", i, tokens.Len(), err)
		}
	}
	if err := zstdtokens.Encode(bytes.NewReader(append(tokens.Bytes(), 0)), io.Discard); !errors.Is(err,
		zstdtokens.ErrInvalid) {
		t.Error(err)
	}
	broken := errors.New("broken")
	if err := zstdtokens.Decode(bufio.NewReader(iotest.ErrReader(broken)), io.Discard); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := zstdtokens.Encode(iotest.ErrReader(broken), io.Discard); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// FuzzDecode: what is taken comes out again, in memory of a block.
func FuzzDecode(f *testing.F) {
	for _, frame := range frames(f) {
		f.Add(frame)
	}
	f.Add(klauspost(f, data(7, 3000), zstd.SpeedBestCompression))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var b, out bytes.Buffer
		src := bytes.NewReader(frame)
		in := bufio.NewReader(src)
		if err := zstdtokens.Decode(in, &b); err != nil {
			if !errors.Is(err, zstdtokens.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := zstdtokens.Encode(&b, &out); err != nil ||
			!bytes.Equal(out.Bytes(), frame[:len(frame)-src.Len()-in.Buffered()]) {
			t.Fatal(err)
		}
	})
}

// FuzzEncode: tokens that anybody made end in a frame or in ErrInvalid.
func FuzzEncode(f *testing.F) {
	for _, frame := range frames(f) {
		var b bytes.Buffer
		if err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(frame)), &b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, tokens []byte) {
		if err := zstdtokens.Encode(bytes.NewReader(tokens), io.Discard); err != nil &&
			!errors.Is(err, zstdtokens.ErrInvalid) {
			t.Fatal(err)
		}
	})
}

// A frame whose encoder nobody has comes out of its tokens as it was.
func Example() {
	frame, err := os.ReadFile("testdata/short.zst")
	if err != nil {
		panic(err)
	}
	var tokens, out bytes.Buffer
	if err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(frame)), &tokens); err != nil {
		panic(err)
	}
	if err := zstdtokens.Encode(&tokens, &out); err != nil {
		panic(err)
	}
	fmt.Println(bytes.Equal(out.Bytes(), frame))
	// Output: true
}

func BenchmarkEncode(b *testing.B) {
	var tokens bytes.Buffer
	frame := frames(b)["l19.zst"]
	if err := zstdtokens.Decode(bufio.NewReader(bytes.NewReader(frame)), &tokens); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(tokens.Len()))
	for b.Loop() {
		if err := zstdtokens.Encode(bytes.NewReader(tokens.Bytes()), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
