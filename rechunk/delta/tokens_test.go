package delta

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// noPrograms are Encoders of a machine that has none.
type noPrograms struct{}

func (noPrograms) Available() []Program { return nil }

func (noPrograms) Encode(context.Context, Encoder, io.Reader, io.Writer) error { return ErrEncoder }

// What no program makes again is made of its tokens: a zstd initramfs in which all that follows has moved.
func TestTokens(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	var plain []byte
	for range 50_000 {
		plain = fmt.Appendf(plain, "%d of %x\n", r.IntN(1000), r.IntN(1<<20))
	}
	packed := func(plain []byte) []byte {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		return w.EncodeAll(plain, nil)
	}
	old := files{"usr/lib/modules/6.12.117/initramfs.img": packed(plain)}
	image := packed(append([]byte("what is new, and moves the rest\n"), plain...))
	next := files{"usr/lib/modules/6.12.118/initramfs.img": image}
	scratch := &temp{}
	target, want := next.target(t)
	delta, report := made(t, target, old, Options{Scratch: scratch, Encoders: noPrograms{}, Parallel: 2})
	if len(delta) > len(image)/4 || report.Items[0].How != Wrapped {
		t.Errorf("%d of %d bytes: %+v", len(delta), len(image), report.Items)
	}
	for _, encoders := range []Encoders{nil, noPrograms{}} {
		got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: scratch, Encoders: encoders})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, not the %d of the layer: %v", len(got), len(want), err)
		}
	}
	if n := scratch.open.Load(); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}
