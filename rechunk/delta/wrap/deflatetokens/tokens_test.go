package deflatetokens_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/strata-oci/strata/rechunk/delta/wrap/deflatetokens"
)

// data is n bytes of some redundancy.
func data(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's
	var b []byte
	for len(b) < n {
		switch r.IntN(5) {
		case 0:
			b = append(b, bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(1<<r.IntN(16)))...)
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

// deflated is what Go's encoder makes at a level.
func deflated(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	half := len(plain) / 2
	for _, part := range [][]byte{plain[:half], plain[half:]} {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // an empty stored block, as pigz has them
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func again(t *testing.T, stream []byte) []byte {
	t.Helper()
	var b, out bytes.Buffer
	src := bufio.NewReader(io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte("behind"))))
	if err := deflatetokens.Decode(src, &b); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(src); string(rest) != "behind" {
		t.Fatalf("%q was left", rest)
	}
	if err := deflatetokens.Encode(iotest.HalfReader(bytes.NewReader(b.Bytes())), &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), stream) {
		t.Fatalf("%d bytes, not the stream's %d", out.Len(), len(stream))
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		for seed := range uint64(18) {
			again(t, deflated(t, data(seed, 1<<seed+int(seed)), level))
		}
	}
}

// TestGzip: headers stay as they are, whatever is in them.
func TestGzip(t *testing.T) {
	t.Parallel()
	for _, h := range []gzip.Header{{OS: 3}, {Name: "a name", Comment: "a comment", Extra: []byte("extra"), OS: 255}} {
		var member, tokens, out bytes.Buffer
		w := gzip.NewWriter(&member)
		w.Header = h
		_, _ = w.Write(data(5, 70_000))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := deflatetokens.DecodeGzip(bufio.NewReader(bytes.NewReader(member.Bytes())), &tokens); err != nil {
			t.Fatal(err)
		}
		if err := deflatetokens.EncodeGzip(bytes.NewReader(tokens.Bytes()), &out); err != nil ||
			!bytes.Equal(out.Bytes(), member.Bytes()) {
			t.Error(err, out.Len(), member.Len())
		}
		for _, n := range []int{0, 5, 20, tokens.Len() / 2, tokens.Len() - 1} {
			err := deflatetokens.EncodeGzip(bytes.NewReader(tokens.Bytes()[:n]), io.Discard)
			if !errors.Is(err, deflatetokens.ErrInvalid) {
				t.Errorf("%d bytes of tokens: %v", n, err)
			}
			err = deflatetokens.DecodeGzip(bufio.NewReader(bytes.NewReader(member.Bytes()[:min(n, member.Len()-1)])),
				io.Discard)
			if !errors.Is(err, deflatetokens.ErrInvalid) {
				t.Errorf("%d bytes of a member: %v", n, err)
			}
		}
	}
}

// TestErrors: those of readers and writers are passed on, what follows is none of a stream's tokens.
func TestErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	stream := deflated(t, data(3, 5000), 6)
	tokens := again(t, stream)
	if err := deflatetokens.Decode(bufio.NewReader(iotest.ErrReader(broken)), io.Discard); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := deflatetokens.Encode(iotest.ErrReader(broken), io.Discard); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := deflatetokens.Decode(bufio.NewReader(bytes.NewReader(stream)), failing{broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := deflatetokens.Encode(bytes.NewReader(tokens), failing{broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := deflatetokens.Encode(bytes.NewReader(append(tokens, 0)), io.Discard); !errors.Is(err,
		deflatetokens.ErrInvalid) {
		t.Error(err)
	}
	for i := range len(tokens) {
		if err := deflatetokens.Encode(bytes.NewReader(tokens[:i]), io.Discard); !errors.Is(err, deflatetokens.ErrInvalid) {
			t.Fatalf("%d of %d bytes: %v", i, len(tokens), err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// FuzzDecode: what is taken comes out again.
func FuzzDecode(f *testing.F) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		f.Add(deflated(f, data(7, 3000), level))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var b, out bytes.Buffer
		src := bytes.NewReader(stream)
		in := bufio.NewReader(src)
		if err := deflatetokens.Decode(in, &b); err != nil {
			if !errors.Is(err, deflatetokens.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := deflatetokens.Encode(&b, &out); err != nil ||
			!bytes.Equal(out.Bytes(), stream[:len(stream)-src.Len()-in.Buffered()]) {
			t.Fatal(err)
		}
	})
}

// FuzzEncode: tokens that anybody made end in a stream or in ErrInvalid; gzip's headers, too.
func FuzzEncode(f *testing.F) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		var b bytes.Buffer
		if err := deflatetokens.Decode(bufio.NewReader(bytes.NewReader(deflated(f, data(7, 3000), level))), &b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, tokens []byte) {
		for _, encode := range []func(io.Reader, io.Writer) error{deflatetokens.Encode, deflatetokens.EncodeGzip} {
			if err := encode(bytes.NewReader(tokens), io.Discard); err != nil && !errors.Is(err, deflatetokens.ErrInvalid) {
				t.Fatal(err)
			}
		}
		err := deflatetokens.DecodeGzip(bufio.NewReader(bytes.NewReader(tokens)), io.Discard)
		if err != nil && !errors.Is(err, deflatetokens.ErrInvalid) {
			t.Fatal(err)
		}
	})
}

// A stream whose encoder nobody has comes out of its tokens as it was.
func Example() {
	var stream, tokens, out bytes.Buffer
	w, _ := flate.NewWriter(&stream, 4)
	_, _ = w.Write(bytes.Repeat([]byte("what is compressed; "), 9))
	_ = w.Close()
	if err := deflatetokens.Decode(bufio.NewReader(bytes.NewReader(stream.Bytes())), &tokens); err != nil {
		panic(err)
	}
	if err := deflatetokens.Encode(&tokens, &out); err != nil {
		panic(err)
	}
	fmt.Println(bytes.Equal(out.Bytes(), stream.Bytes()))
	// Output: true
}
